"""The camera of the scanner: what it reads, what it refuses, and what a person can do when there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from script.stack import RunningServer
from tests.pages.browsers import Complaints, launch, watch
from tests.pages.conftest import Game
from tests.pages.fake_cameras import CANVAS, device, film, phone_options, rows
from web.pages.assets import load_assets

pytestmark = pytest.mark.system
FORMATS = "static getSupportedFormats = async () => ['qr_code'];"
DETECTORS = {
    "absent": "undefined",
    "broken": f"class {{ {FORMATS} constructor() {{ throw new Error('broken'); }} }}",
    "without formats": "class { static getSupportedFormats = async () => [] }",
    "blind": f"class {{ {FORMATS} detect = async () => [] }}",
    "silent": f"class {{ {FORMATS} detect = () => new Promise(() => {{}}) }}",
    "working": f"class {{ {FORMATS} detect = async () => [{{ rawValue: 'WAYMARK' }}] }}",
}
OPEN_DETECTOR = """async ([url, source, rows]) => {
    globalThis.BarcodeDetector = eval?.(`(${source})`);
    const { openDetector } = await import(url);
    const detector = await openDetector();
    show(rows);
    await new Promise((done) => setTimeout(done, 50));
    const text = await detector.read(document.querySelector('canvas'));
    detector.close();
    return [detector.kind, text];
}"""
TEXTS = {
    "https://harbor.example/s/spy123": "spy123",
    "http://127.0.0.1:8000/game/S/spy123/?utm_source=x#top": "spy123",
    "]Q1https://harbor.example/s/spy123": "spy123",
    "https://harbor.example/q/old": "old",
    "https://harbor.example/spy123": None,
    "ftp://harbor.example/s/spy123": None,
    "WIFI:S:harbor;T:WPA;P:secret;;": None,
    "javascript:alert(1)//s/spy123": None,
    "https://harbor.example/s/": None,
    "https://[/s/spy123": None,
    "spy123": None,
}
TYPED = {"spy123": "spy123", " spy123 ": "spy123", "harbor.example/s/spy123": "spy123", "a b": None, "": None}


@pytest.mark.parametrize("blur", [0, 0.3])
def test_printed_image_is_read_and_checked_in(
    site: RunningServer, browser: Any, game: Game, complaints: Complaints, tmp_path: Path, blur: float
) -> None:
    code = game.code()
    path = f"/api/organizations/{game.org_id}/qr-codes/{code['id']}/image?size=400"
    png = game.api.http.request(
        "GET", site.base_url + path, headers={"Authorization": f"Bearer {game.owner['access_token']}"}
    ).data
    with launch(browser.browser_type, *device(film(tmp_path / "camera.mjpeg", png, blur=blur))) as with_camera:
        context = with_camera.new_context(**phone_options(site.base_url))
        watch(context, complaints)
        page = context.new_page()
        page.goto("/play/scan")
        page.get_by_role("button", name="Check in").wait_for()
        assert page.locator("code").inner_text() == code["code"]
        assert game.scans() == [], "reading a code is not a scan"
        page.get_by_role("button", name="Check in").click()
        page.get_by_role("heading", name="+1 spy gadget").wait_for()

    assert [scan["qr_code"] for scan in game.scans()] == [code["code"]]


def test_camera_keeps_reading_after_foreign_and_unknown_codes(
    open_context: Callable[..., Any], site: RunningServer, game: Game, complaints: Complaints
) -> None:
    code = game.code(description="Dam Square")
    context = open_context(phone=True)
    context.add_init_script(CANVAS)
    assert context.request.post("/session/guest", headers={"Origin": site.base_url}).ok
    complaints.expect("404")
    page = context.new_page()
    page.goto("/play/scan")
    page.locator(".camera[data-state=scanning]").wait_for()

    for text, message in (
        ("https://elsewhere.example/menu", "https://elsewhere.example/menu"),
        ("WIFI:S:harbor;T:WPA;P:secret;;", "WIFI:S:harbor"),
        (f"{site.base_url}/s/nothing1", "We don't recognize this code"),
    ):
        page.evaluate("rows => show(rows)", rows(text))
        page.get_by_text(message).wait_for()
    assert page.url.endswith("/play/scan"), "another site's address is shown, not followed"

    page.get_by_role("button", name="Flashlight").click()
    page.get_by_role("button", name="Flashlight", pressed=True).wait_for()
    assert page.evaluate("lights") == [True]
    page.get_by_role("button", name="Switch camera").click()
    page.wait_for_function("() => constraints.at(-1).deviceId?.exact === 'second' && tracks.length === 2")
    page.locator(".camera[data-state=scanning]").wait_for()

    # A phone that is locked and unlocked again.
    see = "hidden => (Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}), "
    see += "document.dispatchEvent(new Event('visibilitychange')))"
    page.evaluate(see, True)
    assert page.evaluate("tracks.every(track => track.readyState === 'ended')")
    page.evaluate(see, False)
    page.wait_for_function("() => tracks.length === 3 && constraints.at(-1).deviceId.ideal === 'second'")

    page.evaluate("rows => show(rows)", rows(f"{site.base_url}/s/{code['code']}"))
    page.get_by_role("heading", name="Dam Square").wait_for()
    page.wait_for_function("() => tracks.every(track => track.readyState === 'ended')")
    page.get_by_role("button", name="Scan another").click()
    page.locator(".camera[data-state=scanning]").wait_for()


def test_native_detector_is_used_only_if_it_reads_the_test_symbol(open_context: Callable[..., Any]) -> None:
    context = open_context(phone=True)
    context.add_init_script(CANVAS)
    page = context.new_page()
    page.goto("/about")
    page.evaluate("document.body.append(document.createElement('canvas'))")
    url = load_assets().url("js/player/detector.js")

    kinds = {}
    for name, source in DETECTORS.items():
        kinds[name], text = page.evaluate(OPEN_DETECTOR, [url, source, rows("https://harbor.example/s/spy123")])
        assert text is not None or name != "working"

    assert kinds == dict.fromkeys(DETECTORS, "worker") | {"working": "native"}


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ("Promise.reject(new DOMException('', 'NotAllowedError'))", "Camera access is blocked."),
        ("Promise.reject(new DOMException('', 'NotFoundError'))", "This device has no camera that we can use."),
        ("Promise.reject(new DOMException('', 'NotReadableError'))", "The camera is in use."),
        (None, "Location and camera need a secure connection (https)."),
    ],
)
def test_code_can_be_typed_without_a_camera(
    open_context: Callable[..., Any], game: Game, camera: str | None, words: str
) -> None:
    context = open_context(phone=True)
    if camera is None:
        context.add_init_script(
            "Object.defineProperty(Navigator.prototype, 'mediaDevices', {value: undefined});"
            "Object.defineProperty(globalThis, 'isSecureContext', {value: false})"
        )
    else:
        context.add_init_script(
            # Playwright's own calls count as taps.
            "Object.defineProperty(navigator, 'userActivation', {value: {isActive: false}});"
            "navigator.permissions.query = async () => ({state: 'prompt'});"
            f"if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = () => {camera}"
        )
    page = context.new_page()
    page.goto("/play/scan")
    if camera is not None:
        page.get_by_role("button", name="Start camera").click()
    page.get_by_text(words).wait_for()
    page.get_by_text("Or use your phone's camera app.").wait_for()

    page.get_by_role("button", name="Type the code").click()
    page.get_by_label("Code", exact=True).fill("not a code")
    page.keyboard.press("Enter")
    page.get_by_text("This isn't a Waymark code.").wait_for()
    code = game.code()["code"]
    page.get_by_label("Code", exact=True).fill(f"harbor.example/s/{code}")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Check in").wait_for()
    assert page.locator("code").inner_text() == code


def test_camera_without_frames_restarts_once_and_then_waits_for_a_tap(open_context: Callable[..., Any]) -> None:
    context = open_context(phone=True)
    context.add_init_script(CANVAS + "HTMLVideoElement.prototype.requestVideoFrameCallback = () => 0;")
    page = context.new_page()
    page.clock.install()
    page.goto("/play/scan")
    page.locator(".camera[data-state=scanning]").wait_for()
    page.clock.run_for(4000)
    page.wait_for_function("() => tracks.length === 2")
    page.locator(".camera[data-state=scanning]").wait_for()
    page.clock.run_for(4000)
    page.get_by_text("Camera paused. Tap to resume.").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function("() => tracks.length === 3")


def test_text_of_a_code_is_found_as_the_server_finds_it(desktop: Any) -> None:
    desktop.goto("/about")
    find = """async ([url, name, texts]) => {
        const module = await import(url);
        return texts.map((text) => module[name](text, ['/s', '/q']));
    }"""
    url = load_assets().url("js/player/code-text.js")

    assert dict(zip(TEXTS, desktop.evaluate(find, [url, "codeInUrl", list(TEXTS)]), strict=True)) == TEXTS
    assert dict(zip(TYPED, desktop.evaluate(find, [url, "codeInInput", list(TYPED)]), strict=True)) == TYPED
