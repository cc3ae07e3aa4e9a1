"""The service worker: pages without a connection, a new release, and how it is turned off."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from script.stack import RunningServer
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.pages.recording_proxy import recording_proxy
from tests.support.polling import eventually
from web.pages import pwa
from web.pages.assets import FOLDER, load_assets
from web.pages.module_groups import ADDRESSES

CONTROLLED = "() => navigator.serviceWorker.controller !== null"
WORKER_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"


@pytest.mark.system
def test_pages_and_scans_work_without_a_connection(
    open_context: Callable[..., Any], site: RunningServer, game: Game, complaints: Complaints
) -> None:
    first, second = (game.code(description=f"Post {number}")["code"] for number in (1, 2))
    context = open_context(phone=True, service_workers="allow")
    page = context.new_page()
    page.goto(f"/s/{first}")
    page.wait_for_function(CONTROLLED)

    for text in ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED"):
        complaints.expect(text)
    context.set_offline(True)
    page.goto("/play")
    page.locator("#view h1, #view .empty").first.wait_for()
    for code in (first, second):
        page.goto(f"/s/{code}")
        page.locator("code", has_text=code).wait_for()
        context.set_geolocation({"latitude": 52.37, "longitude": 4.89, "accuracy": 8})
        context.grant_permissions(["geolocation"])
        page.get_by_role("button", name="Check in").click()
        page.get_by_role("heading", name="Saved on this phone").wait_for()
    page.reload()
    page.get_by_role("heading", name="Saved on this phone").wait_for()
    assert game.scans() == []

    context.set_offline(False)
    page.get_by_role("heading", name="+1 spy gadget").wait_for()
    scans = eventually(lambda: found if len(found := game.scans()) == 2 else [])
    assert {scan["qr_code"] for scan in scans} == {first, second}
    assert {scan["status"] for scan in scans} == {"success"}
    stored = page.evaluate(
        """async () => (await Promise.all((await caches.keys()).map(async (name) =>
            (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname)))).flat()"""
    )
    assert {path for path in stored if not path.startswith("/static/")} == {"/play"}, "nothing personal is stored"


@pytest.mark.system
def test_new_release_is_offered_and_the_worker_can_be_turned_off(
    open_context: Callable[..., Any], site: RunningServer, game: Game
) -> None:
    code = game.code()["code"]
    with recording_proxy(site.base_url) as proxy:
        page = open_context(phone=True, service_workers="allow", base_url=proxy.base_url).new_page()
        page.goto("/play")
        page.wait_for_function(CONTROLLED)

        # Online, every page is the server's, and it is requested once.
        for path in (f"/s/{code}", "/about"):
            page.goto(path)
            assert proxy.requests[path] == 1, path

        page.goto("/play")
        update = "navigator.serviceWorker.getRegistration().then(registration => registration.update()).then(() => 1)"
        proxy.bodies["/sw.js"] = game.api.http.request("GET", f"{site.base_url}/sw.js").data.decode() + "// newer"
        page.evaluate(update)
        page.get_by_text("A new version is available.").wait_for()
        with page.expect_navigation():
            page.get_by_role("button", name="Reload").click()
        page.wait_for_function(CONTROLLED)
        assert page.get_by_text("A new version is available.").count() == 0

        proxy.bodies["/sw.js"] = pwa.UNREGISTER
        page.evaluate(update)
        page.wait_for_function(
            "async () => !(await navigator.serviceWorker.getRegistration()) && (await caches.keys()).length === 0"
        )


def test_worker_and_manifest_are_revalidated(client: Any) -> None:
    worker = client.get("/sw.js")
    assert worker.headers["Content-Security-Policy"] == WORKER_POLICY
    assert worker.headers["Cache-Control"] == "no-cache"
    assert worker.content_type == "text/javascript; charset=utf-8"
    assert load_assets().url("js/offline.js") in worker.text

    manifest = client.get("/app.webmanifest", headers={"Accept-Language": "nl"})
    assert manifest.headers["Cache-Control"] == "no-cache"
    assert "Accept-Language" in manifest.vary
    app = json.loads(manifest.data)
    assert (app["id"], app["start_url"], app["scope"], app["lang"]) == ("/play", "/play", "/", "nl")
    for icon in app["icons"]:
        assert client.get(icon["src"]).status_code == 200
    page = client.get("/play", headers={"Accept": "text/html"}).text
    assert '<link rel="manifest" href="/app.webmanifest">' in page


def test_pwa_false_removes_the_worker_and_the_manifest(serve: Callable[..., Any]) -> None:
    client = serve(PWA="false")

    assert client.get("/sw.js").text == pwa.UNREGISTER
    assert client.get("/sw.js").headers["Content-Security-Policy"] == WORKER_POLICY
    assert client.get("/app.webmanifest").status_code == 404
    assert "manifest" not in client.get("/play", headers={"Accept": "text/html"}).text


def test_shell_is_stored_with_everything_that_it_imports() -> None:
    assets = load_assets()
    files = pwa.shell_files(assets)

    assert {path for path in assets.files if path.startswith("js/player/")} - ADDRESSES <= set(files)
    assert ADDRESSES.isdisjoint(files)
    assert {module for file in files for module in assets.modules_of(file)} <= set(files)
    size = sum(len(assets.files[file].gzipped or assets.files[file].body) for file in files)
    assert size < 130_000
    assert not {file for file in files if "zxing" in file or "decoder" in file}, "loaded by the first use"


def test_icons_are_drawn_from_the_mark() -> None:
    from PIL import Image, ImageChops

    from script.app_icons import ICONS, draw

    for name, (side, share) in ICONS.items():
        with Image.open(FOLDER / "img" / name) as icon:
            difference = ImageChops.difference(icon.convert("RGB"), draw(side, share))
        assert difference.getbbox() is None, name
