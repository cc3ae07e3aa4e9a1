"""The page of a screen: a camera reads it, it follows the steps by itself, and says when it cannot."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zxingcpp

from tests.images.camera_view import open_png
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.support.polling import eventually

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]
SHAPES = [(1920, 1080), (1280, 800), (768, 1024), (390, 844), (320, 640)]


@pytest.fixture
def code(game: Game) -> Any:
    return game.code(scan_type="item_drop", description="Entrance", rotating=True, rotation_seconds=5)


@pytest.fixture
def url(game: Game, code: Any) -> str:
    path = f"/api/organizations/{game.org_id}/qr-codes/{code['id']}/screens"
    return str(game.api.ask("POST", path, game.owner["access_token"], {"name": "Entrance"})["url"])


def look(page: Any) -> str:
    """Return the text of the code on the screen. Empty while none can be read, or while the page loads itself again."""
    from playwright.sync_api import Error

    try:
        pixels = np.asarray(open_png(page.screenshot()).convert("L"))
    except Error:
        return ""
    return "".join(barcode.text for barcode in zxingcpp.read_barcodes(pixels))


def test_screen_follows_its_code_and_counts_scans(desktop: Any, game: Game, code: Any, url: str) -> None:
    desktop.goto(url)
    desktop.evaluate("window.loadedOnce = true")

    first = eventually(lambda: look(desktop))
    body = {"player_id": game.owner["player_id"], "qr_code": first}
    verdict = game.api.ask("POST", "/scan", game.owner["access_token"], body, Prefer="wait=10")

    assert first.partition("?t=")[0].endswith(f"/s/{code['code']}")
    assert verdict["status"] == "success"
    assert desktop.locator("h1").inner_text() == "Entrance"
    assert desktop.title() == "Entrance · Waymark"
    desktop.get_by_text("1 scan today").wait_for()
    assert eventually(lambda: look(desktop) not in ("", first))
    assert desktop.evaluate("window.loadedOnce"), "the page follows the steps without loading itself again"
    assert desktop.evaluate("getComputedStyle(document.body).cursor") == "none"
    assert desktop.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_code_is_as_large_as_the_window_allows(open_context: Callable[..., Any], url: str, scheme: str) -> None:
    page = open_context(color_scheme=scheme).new_page()
    page.goto(url)
    for width, height in SHAPES:
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator("#screen-code").bounding_box()

        assert eventually(lambda: look(page)), (width, height)
        assert box["width"] == pytest.approx(box["height"], abs=1)
        assert box["width"] >= 0.55 * min(width, height)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, height)
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), (width, height)


def test_image_older_than_its_step_is_gray_until_the_connection_returns(
    open_context: Callable[..., Any], complaints: Complaints, url: str
) -> None:
    complaints.expect("net::ERR_")
    context = open_context(timezone_id="Europe/Amsterdam")
    page = context.new_page()
    page.clock.install()
    page.goto(url)
    eventually(lambda: look(page))
    context.route("**/screen/*/*", lambda route: route.abort())

    page.clock.run_for(6_000)
    page.get_by_text("Offline since").wait_for()
    shown = page.locator("#screen-offline").inner_text()
    is_gray = page.locator(".screen-old img").count() == 1
    context.unroute("**/screen/*/*")
    page.clock.run_for(3_000)
    page.locator("#screen-offline").wait_for(state="hidden")

    assert is_gray
    assert shown.startswith("Offline since ")
    assert len(shown.removeprefix("Offline since ")) == len("14:02")
    assert page.locator(".screen-old").count() == 0


def test_wrong_clock_is_noticed_and_an_ended_screen_says_so(
    open_context: Callable[..., Any], complaints: Complaints, game: Game, code: Any, url: str
) -> None:
    context = open_context()
    right, wrong = context.new_page(), context.new_page()
    wrong.add_init_script("const right = Date.now; Date.now = () => right() + 20000")
    for page in (right, wrong):
        page.goto(url)
        page.get_by_text("scans today").wait_for()

    assert wrong.get_by_text("Check the clock of this device").is_visible()
    assert right.get_by_text("Check the clock of this device").is_hidden()

    complaints.expect("status of 404")
    path = f"/api/organizations/{game.org_id}/qr-codes/{code['id']}/screens"
    [screen] = game.api.ask("GET", path, game.owner["access_token"])["items"]
    game.api.ask("DELETE", f"{path}/{screen['id']}", game.owner["access_token"])
    right.get_by_role("heading", name="This screen link was revoked").wait_for()
    assert right.get_by_text("Ask the organizer for a new one.").is_visible()
    assert right.get_by_role("link", name="Scan another").count() == 0


def test_screen_without_scripts_loads_itself_again(
    open_context: Callable[..., Any], complaints: Complaints, url: str
) -> None:
    # The browser names each module that it does not load.
    complaints.expect(" csp")
    page = open_context(java_script_enabled=False).new_page()
    page.goto(url)

    first = eventually(lambda: look(page))
    assert eventually(lambda: look(page) not in ("", first))
