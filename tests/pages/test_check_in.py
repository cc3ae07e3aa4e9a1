"""The printed code: one tap leads to a verdict, and every verdict and problem has words and a next step."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.pages.browsers import DAM_SQUARE, Complaints
from tests.pages.check_ins import PLACE, check_in, located, outbox, shows, tap
from tests.pages.conftest import Game
from tests.pages.page_checks import faults

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

ANDROID = "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 Version/18.0 Mobile Safari/604.1"
NO_FIX = "navigator.geolocation.watchPosition = (found) => { window.found = found; return 1; };"
INSECURE = "Object.defineProperty(window, 'isSecureContext', {value: false});"
DENIED = "navigator.geolocation.watchPosition = (_, failed) => { setTimeout(() => failed({code: 1})); return 1; };"
UTRECHT = {"latitude": 52.0907, "longitude": 5.1214, "accuracy": 8}
SEND = """async ([qrCode, age]) => {
    const outbox = await import(document.body.dataset.static + 'js/player/outbox.js');
    const at = new Date(Date.now() - age * 1000).toISOString();
    await outbox.put({nonce: crypto.randomUUID(), player_id: null, qr_code: qrCode, latitude: null, longitude: null,
        accuracy: null, scanned_at: at, state: 'waiting', tries: 0, scan_id: null, verdict: null});
    const {nonce} = (await outbox.all()).find(scan => scan.scanned_at === at);
    location.assign(`/play/result/${nonce}`);
}"""

DEAD_LETTERED = """async () => {
    const outbox = await import(document.body.dataset.static + 'js/player/outbox.js');
    const verdict = {status: 'failure', reason: 'not_judged', message: 'This scan could not be judged.'};
    await outbox.put({nonce: 'dead', player_id: null, qr_code: 'dead', latitude: null, longitude: null, accuracy: null,
        scanned_at: new Date().toISOString(), state: 'settled', tries: 0, scan_id: '0197a6b0', verdict});
    location.assign('/play/result/dead');
}"""


@pytest.fixture
def at_dam(open_context: Callable[..., Any]) -> Any:
    """Return the page of a phone at Dam Square, which may know its location."""
    return open_context(phone=True, geolocation=DAM_SQUARE, permissions=["geolocation"]).new_page()


def fix(accuracy: float) -> str:
    coords = f"{{latitude: {PLACE['latitude']}, longitude: {PLACE['longitude']}, accuracy: {accuracy}}}"
    return f"navigator.geolocation.watchPosition = (found) => {{ found({{coords: {coords}}}); return 1; }};"


def action(page: Any) -> str:
    return str(page.locator(".verdict-actions > *").first.inner_text())


def test_successes_say_what_was_gained_and_what_comes_next(at_dam: Any, game: Game) -> None:
    page = at_dam
    puzzle = {"puzzle_type": "decryption", "difficulty_level": 3, "data": {"text": "KHOOR"}, "solution": "hello"}
    harbor = game.code(description="Old Harbor")

    check_in(page, located(game), "+1 spy gadget")
    assert page.locator("h1").evaluate("heading => heading === document.activeElement")
    assert action(page) == "View inventory"
    assert page.get_by_text("Keep what you collect: create an account").is_visible()
    page.get_by_role("button", name="Not now").click()

    check_in(page, game.code(scan_type="encounter", encounter=puzzle), "You found a puzzle")
    assert action(page) == "Solve puzzle"
    scan_id = game.scans()[0]["scan_id"]
    assert page.locator(".verdict-actions a").first.get_attribute("href") == f"/play/puzzle/{scan_id}"
    assert page.get_by_text("Keep what you collect").count() == 0

    stop = game.code(scan_type="transportation", destination_code=harbor["code"], reward=None)
    check_in(page, stop, "Next stop: Old Harbor")
    page.get_by_role("button", name="Show details").click()
    assert harbor["code"] in page.locator("dl").inner_text()


def test_result_takes_the_place_of_the_code_until_back(phone: Any, game: Game) -> None:
    """No page is loaded between the tap and the verdict. The address is the one of the result."""
    code = game.code(per_player_limit=None)
    check_in(phone, code, "+1 spy gadget")
    assert phone.evaluate("performance.getEntriesByType('navigation')[0].name").endswith(f"/s/{code['code']}")
    assert re.search(r"/play/result/[0-9a-f-]{36}$", phone.url)
    assert phone.title() == "Result · Waymark"
    assert phone.get_by_role("link", name="Scan", exact=True).get_attribute("aria-current") == "page"

    phone.go_back()
    shows(phone, "Dam Square")
    assert phone.url.endswith(f"/s/{code['code']}")
    assert phone.title() == "Dam Square · Waymark"
    assert phone.locator("h1").evaluate("heading => heading === document.activeElement")
    assert phone.get_by_role("navigation").count() == 0
    phone.go_forward()
    shows(phone, "+1 spy gadget")
    phone.go_back()
    tap(phone)
    shows(phone, "+1 spy gadget")
    assert len(game.scans()) == 2
    phone.reload()
    shows(phone, "+1 spy gadget")
    phone.go_back()
    phone.get_by_role("button", name="Check in").wait_for()
    phone.go_forward()
    shows(phone, "+1 spy gadget")
    assert len(game.scans()) == 2


def test_every_failure_names_its_reason_and_a_next_step(at_dam: Any, game: Game) -> None:  # noqa: PLR0915
    """Each code changes after its page was opened, so that the tap is what is refused."""
    page = at_dam
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    for change, headline, label in (
        ({"requires_location": True, **PLACE}, "Location needed", "Share location"),
        ({"starts_at": soon}, "This code isn't open yet", "Scan another"),
        ({"starts_at": None, "expires_at": past}, "This code has expired", "Scan another"),
        ({"active": False}, "This code is turned off", "Scan another"),
    ):
        code = game.code()
        page.goto(f"/s/{code['code']}")
        game.change(code, **change)
        tap(page)
        shows(page, headline)
        assert action(page) == label
        # A failure is no reason to ask for an account.
        assert page.get_by_text("Keep what you collect").count() == 0
    deleted = game.code()
    page.goto(f"/s/{deleted['code']}")
    game.api.ask("DELETE", f"/api/organizations/{game.org_id}/qr-codes/{deleted['id']}", game.owner["access_token"])
    tap(page)
    shows(page, "We don't recognize this code")
    assert action(page) == "Type the code"

    once = game.code()
    check_in(page, once, "+1 spy gadget")
    check_in(page, once, "Already collected")
    slow = game.code(per_player_limit=None, cooldown_seconds=3600)
    check_in(page, slow, "+1 spy gadget")
    check_in(page, slow, "Come back later")
    last = game.code(max_scans=1)
    page.goto(f"/s/{last['code']}")
    body = {"player_id": game.owner["player_id"], "qr_code": last["code"]}
    game.api.ask("POST", "/scan", game.owner["access_token"], body, Prefer="wait=8")
    tap(page)
    shows(page, "None left")

    page.context.set_geolocation({**DAM_SQUARE, "latitude": 52.38})
    check_in(page, located(game), "You're not close enough")
    assert action(page) == "Try again"
    assert not re.search(r"\d+ ?m\b", page.locator(".verdict").inner_text())
    page.context.set_geolocation(UTRECHT)
    far = game.code(requires_location=True, latitude=UTRECHT["latitude"], longitude=UTRECHT["longitude"])
    check_in(page, located(game), "You're not close enough")
    page.context.set_geolocation(DAM_SQUARE)
    check_in(page, located(game), "+1 spy gadget")
    page.context.set_geolocation(UTRECHT)
    check_in(page, far, "Under review")
    held = next(scan for scan in game.scans() if scan["status"] == "held")
    scans = f"/api/organizations/{game.org_id}/scans/{held['scan_id']}"
    game.api.ask("POST", f"{scans}/release", game.owner["access_token"])
    page.reload()
    shows(page, "+1 spy gadget")
    game.api.ask("POST", f"{scans}/annul", game.owner["access_token"])
    page.reload()
    shows(page, "Scan reversed")
    page.evaluate(DEAD_LETTERED)
    shows(page, "We couldn't check this scan")
    assert action(page) == "Copy scan ID"
    assert "0197a6b0" in page.locator(".verdict-actions").inner_text()


def test_rotating_and_late_scans_name_their_reason(phone: Any, game: Game) -> None:
    """The step in the URL of the page reaches the scan."""
    screen = game.code(rotating=True, rotation_seconds=3600)
    path = f"/api/organizations/{game.org_id}/qr-codes/{screen['id']}/rotating"
    text = game.api.ask("GET", path, game.owner["access_token"])["text"]
    phone.goto("/s/" + text.rpartition("/s/")[2])
    tap(phone)
    shows(phone, "+1 spy gadget")

    for qr_code, age, headline in (
        (text, 3 * 3600, "This code has changed"),
        (text + "0", 0, "This code isn't genuine"),
        (game.code()["code"], 100 * 3600, "Sent too late"),
    ):
        phone.evaluate(SEND, [qr_code, age])
        shows(phone, headline)


@pytest.mark.parametrize(
    ("script", "agent", "headline", "step"),
    [
        (DENIED, ANDROID, "Location access is blocked.", "Permissions"),
        (DENIED, IPHONE, "Location access is blocked.", "Location Services"),
        (NO_FIX, ANDROID, "We need a better location", "near a window"),
        (fix(500), IPHONE, "We need a better location", "near a window"),
        (fix(3000), ANDROID, "Precise location is off for this browser.", "Use precise location"),
        (INSECURE, ANDROID, "Location and camera need a secure connection (https).", "starts with https"),
    ],
    ids=["denied on Android", "denied on iOS", "timeout", "imprecise", "approximate", "insecure"],
)
def test_missing_location_is_explained_and_can_be_tried_again(
    open_context: Callable[..., Any], game: Game, script: str, agent: str, headline: str, step: str
) -> None:
    context = open_context(phone=True, user_agent=agent, geolocation=DAM_SQUARE, permissions=["geolocation"])
    page = context.new_page()
    page.add_init_script(script)
    page.clock.install()
    page.goto(f"/s/{located(game)['code']}")
    tap(page)
    if script not in (DENIED, INSECURE):
        page.get_by_text("Finding your location…").wait_for()
        page.clock.run_for(10_100)
    dialog = page.get_by_role("dialog")
    assert headline in dialog.inner_text()
    assert step in dialog.inner_text()
    dialog.get_by_text("Why do you need it?").click()
    assert "proves that you're there" in dialog.inner_text()
    assert game.scans() == []

    page.evaluate(f"() => {{ {fix(12)} }}")
    if script is INSECURE:
        dialog.get_by_role("button", name="Not now").click()
        page.locator("#check-in-button:not([aria-busy])").wait_for()
        assert outbox(page) == []
    else:
        dialog.get_by_role("button", name="Try again").click()
        shows(page, "+1 spy gadget")


def test_improving_location_is_shown_and_sent_once_it_is_good(open_context: Callable[..., Any], game: Game) -> None:
    page = open_context(phone=True, geolocation=DAM_SQUARE, permissions=["geolocation"]).new_page()
    page.add_init_script(NO_FIX)
    code = located(game)
    page.goto(f"/s/{code['code']}")
    tap(page)
    coords = {**DAM_SQUARE, "accuracy": 85}
    page.wait_for_function("() => Boolean(window.found)")
    page.evaluate("coords => window.found({coords})", coords)
    page.get_by_text("Finding your location… ±85 m").wait_for()
    assert game.scans() == []
    page.evaluate("coords => window.found({coords})", coords | {"accuracy": 22})
    shows(page, "+1 spy gadget")
    assert [scan["accuracy"] for scan in game.scans()] == [22]


def test_page_of_a_code_changes_nothing_before_the_tap(phone: Any, game: Game, complaints: Complaints) -> None:
    code = game.code()
    requests: list[str] = []
    phone.on("request", lambda request: requests.append(request.method))
    phone.goto(f"/s/{code['code']}")
    phone.wait_for_load_state("networkidle")
    assert set(requests) == {"GET"}
    assert phone.context.cookies() == []
    assert outbox(phone) == []
    assert phone.get_by_text("We use your location once").count() == 0

    plain = phone.context.browser.new_context(java_script_enabled=False, base_url=phone.url)
    page = plain.new_page()
    for path, words in (
        (f"/s/{code['code']}", "Dam Square"),
        ("/s/never-made", "We don't recognize this code"),
        (f"/s/{game.code(active=False)['code']}", "This code is no longer available"),
        (f"/s/{game.code(starts_at='2999-01-01T00:00Z')['code']}", "This code isn't open yet"),
    ):
        page.goto(path)
        assert page.locator("h1").inner_text() == words
    assert page.locator("noscript").count() == 1
    plain.close()


PATHS = """async texts => {
    const {codePath} = await import(document.body.dataset.static + 'js/player/verdicts.js');
    return texts.map(codePath);
}"""


def test_path_of_a_code_never_leaves_this_site(phone: Any) -> None:
    paths = {
        "spy123": "/s/spy123",
        " spy123 ": "/s/spy123",
        "https://harbor.example/s/spy123": "/s/spy123",
        "https://harbor.example/s/spy123?t=7.abc": "/s/spy123?t=7.abc",
        "50% off": "/s/50%25%20off",
        "//evil.example/s/a": "/s/%2F%2Fevil.example%2Fs%2Fa",
        "https://a.example//evil.example/s/a": "/s/a",
        "https://a.example/elsewhere": "/play/scan",
    }
    phone.goto("/about")
    assert phone.evaluate(PATHS, list(paths)) == list(paths.values())


def test_unusable_storage_is_explained(phone: Any, game: Game) -> None:
    phone.add_init_script("indexedDB.open = () => { throw new DOMException('refused', 'SecurityError'); };")
    phone.goto(f"/s/{game.code()['code']}")
    tap(phone)
    phone.get_by_text("This browser could not store the scan.").wait_for()
    assert game.scans() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_check_in_is_accessible_and_fits_a_small_phone(
    open_context: Callable[..., Any], game: Game, complaints: Complaints, scheme: str
) -> None:
    complaints.expect("404")
    small = {"width": 320, "height": 568}
    page = open_context(phone=True, viewport=small, color_scheme=scheme).new_page()
    page.add_init_script(f"if (location.pathname.startsWith('/s/')) {{ {DENIED} }}")

    def check() -> None:
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= small["width"]

    page.goto(f"/s/{located(game, description='The lighthouse at the end of the northernmost pier')['code']}")
    check()
    tap(page)
    page.get_by_role("dialog").wait_for()
    check()
    page.keyboard.press("Escape")
    page.locator("#check-in-button:not([aria-busy])").wait_for()
    check_in(page, game.code(), "+1 spy gadget")
    page.get_by_text("Keep what you collect").wait_for()
    page.emulate_media(reduced_motion="reduce", color_scheme=scheme)
    check()
    page.goto("/s/never-made")
    check()


def test_browser_inside_an_app_offers_the_real_one(open_context: Callable[..., Any], game: Game) -> None:
    page = open_context(phone=True, user_agent=f"{ANDROID} Instagram 300.0").new_page()
    page.goto(f"/s/{game.code()['code']}")
    assert page.get_by_text("Open this page in your browser.").is_visible()
    assert page.get_by_role("button", name="Copy link").is_visible()
    tap(page)
    shows(page, "+1 spy gadget")
