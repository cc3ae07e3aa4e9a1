"""Reviews, simulator, counter, screens and redemptions in a browser, also by keyboard alone."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.pages.test_screen import look
from tests.support.browser_sessions import SAME
from tests.support.factories import AMSTERDAM, LISBON

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]
MARKUP = '"><script>hacked = 1</script><img src=x onerror="hacked = 2">\''


@pytest.fixture
def path(game: Game) -> str:
    return f"/o/{game.organization['slug']}"


@pytest.fixture
def owner(open_context: Callable[..., Any], game: Game) -> Any:
    """Return a page of the organization's owner."""
    context = open_context(reduced_motion="reduce")
    body = {"username": game.owner["username"], "password": PASSWORD}
    assert context.request.post("/session", data=body, headers=SAME).ok
    return context.new_page()


def scan(game: Game, player: Any, code: Any, **fields: Any) -> Any:
    """Scan a code, and wait for the verdict."""
    body = {"player_id": player["player_id"], "qr_code": code["code"]} | fields
    return game.api.ask("POST", "/scan", player["access_token"], body, Prefer="wait=10")


def at(place: Any) -> dict[str, float]:
    return {"latitude": place.latitude, "longitude": place.longitude, "accuracy": 5}


def hold(game: Game, number: int) -> list[tuple[Any, Any]]:
    """Let players be in Amsterdam and at once in Lisbon. Return the players and their held scans, newest first."""
    codes = [
        game.code(description=MARKUP, requires_location=True, radius_m=50, **at_code(place))
        for place in (AMSTERDAM, LISBON)
    ]
    held: list[Any] = []
    for _ in range(number):
        player = game.api.register()
        scan(game, player, codes[0], **at(AMSTERDAM))
        verdict = scan(game, player, codes[1], **at(LISBON))
        assert verdict["status"] == "held"
        held.insert(0, (player, verdict))
    return held


def at_code(place: Any) -> dict[str, float]:
    return {"latitude": place.latitude, "longitude": place.longitude}


def review(game: Game, scan_id: str, action: str) -> None:
    path = f"/api/organizations/{game.org_id}/scans/{scan_id}/{action}"
    game.api.ask("POST", path, game.owner["access_token"])


def statuses(game: Game, held: list[tuple[Any, Any]]) -> list[str]:
    found = {scan["scan_id"]: scan["status"] for scan in game.scans()}
    return [found[verdict["scan_id"]] for _, verdict in held]


def test_several_reviews_stop_at_the_first_problem(owner: Any, game: Game, path: str, complaints: Complaints) -> None:
    held = hold(game, 3)
    owner.goto(f"{path}/reviews")
    # Another member annuls the second one while the page is open.
    review(game, held[1][1]["scan_id"], "annul")
    release = owner.locator("#rows").get_by_role("button", name="Release")
    assert release.is_disabled(), "nothing is selected"
    owner.get_by_label("Select all").check()
    assert owner.get_by_text("3 selected").is_visible()
    complaints.expect("409")

    release.click()
    assert owner.get_by_text("Their players receive the rewards.").is_visible()
    owner.get_by_role("dialog").get_by_role("button", name="Release").click()

    problem = owner.locator(".review-problem")
    problem.wait_for()
    assert problem.inner_text().startswith(f"Already annulled by {game.owner['username']} at ")
    assert "1 other scan was not reviewed." in problem.inner_text()
    assert owner.get_by_text("Released 1 scan.").is_visible()
    assert statuses(game, held) == ["success", "annulled", "held"]
    assert owner.locator("tr[data-scan]").count() == 1
    assert owner.locator(".rail .badge").inner_text().endswith("1")
    assert owner.evaluate("window.hacked") is None


def test_queue_is_reviewed_by_keyboard_alone(owner: Any, game: Game, path: str) -> None:
    held = hold(game, 3)
    owner.goto(f"{path}/reviews")
    for key in "jjkr":
        owner.keyboard.press(key)
    owner.get_by_text(f"{held[0][0]['username']} receives 1 spy gadget.").wait_for()
    owner.keyboard.press("Enter")
    owner.get_by_text("2 held scans").wait_for()
    owner.keyboard.press("j")
    owner.keyboard.press("Enter")
    owner.get_by_role("heading", name="Impossible travel").wait_for()
    assert "km in" in owner.locator(".lead").inner_text()
    owner.locator("#scan-map canvas").first.wait_for()
    owner.keyboard.press("k")
    owner.wait_for_url(f"**/reviews/{held[1][1]['scan_id']}")
    owner.locator("#scan-map canvas").first.wait_for()
    owner.keyboard.press("a")
    owner.get_by_role("dialog").get_by_text("loses 1 spy gadget.").wait_for()
    owner.keyboard.press("Enter")
    owner.locator("#scan[data-status=annulled]").wait_for()
    assert owner.get_by_text(f"Annulled by {game.owner['username']}").is_visible()
    assert owner.locator("#scan [data-review]").count() == 0

    assert sorted(statuses(game, held)) == ["annulled", "held", "success"]


def test_release_beyond_the_stock_asks_again_and_is_undone(
    owner: Any, game: Game, path: str, complaints: Complaints
) -> None:
    ((_, verdict),) = hold(game, 1)
    listed = next(scan for scan in game.scans() if scan["scan_id"] == verdict["scan_id"])
    scan(game, game.api.register(), {"code": listed["qr_code"]}, **at(LISBON))
    game.change({"id": listed["qr_id"]}, max_scans=1)
    complaints.expect("409")
    owner.goto(f"{path}/reviews/{verdict['scan_id']}")
    owner.keyboard.press("r")
    owner.keyboard.press("Enter")
    owner.get_by_role("button", name="Release anyway").click()
    owner.locator("#scan[data-status=success]").wait_for()
    owner.keyboard.press("a")
    owner.get_by_role("dialog").get_by_text("loses 1 spy gadget.").wait_for()
    owner.keyboard.press("Enter")
    owner.locator("#scan[data-status=annulled]").wait_for()


def test_list_is_filtered_in_place(owner: Any, game: Game, path: str) -> None:
    player = game.api.register()
    scan(game, player, game.code())
    scan(game, player, game.code(active=False))
    owner.goto(f"{path}/scans")
    owner.get_by_label("Status").select_option("failure")
    owner.locator("tr", has_text="Success").wait_for(state="detached")

    assert owner.url.endswith("/scans?status=failure")
    assert owner.locator("#live-region").inner_text() == "1 scan"
    owner.locator("tbody tr").click()
    owner.get_by_role("heading", name="Code is turned off").wait_for()
    owner.go_back()
    assert owner.get_by_label("Status").input_value() == "failure"
    owner.get_by_label("Code", exact=True).fill("nothing")
    owner.get_by_text("No scans match these filters.").wait_for()


def test_simulator_follows_the_pin(owner: Any, game: Game, path: str) -> None:
    code = game.code(requires_location=True, radius_m=50, **at_code(AMSTERDAM))
    owner.goto(f"{path}/simulator")
    owner.get_by_label("Code", exact=True).fill(code["code"])
    owner.get_by_text("Location needed").wait_for()
    owner.get_by_label("Latitude").fill(str(AMSTERDAM.latitude))
    owner.get_by_label("Longitude").fill(str(AMSTERDAM.longitude))
    owner.get_by_text("+1 spy gadget").wait_for()
    owner.locator("#simulator-map [role=application]").focus()
    for _ in range(10):
        owner.keyboard.press("Shift+ArrowUp")
    owner.get_by_text("You're not close enough").wait_for()
    assert game.scans() == []
    owner.get_by_role("button", name="Without a position").click()
    owner.get_by_text("Location needed").wait_for()
    owner.get_by_label("Player", exact=True).fill("nobody-here")
    owner.get_by_role("alert").get_by_text("No member and no player").wait_for()
    owner.locator("#player[aria-invalid=true]").wait_for()
    assert faults_of_open_page(owner) == []


def token_of(game: Game, player: Any) -> str:
    body = {"item": "spy_gadget", "quantity": 1}
    return str(game.api.ask("POST", "/redemptions/token", player["access_token"], body)["token"])


def test_counter_redeems_and_undoes(owner: Any, game: Game, path: str, complaints: Complaints) -> None:
    player = game.api.register()
    scan(game, player, game.code(reward={"item": "spy_gadget", "quantity": 3}))
    complaints.expect("409")
    complaints.expect("404")
    owner.goto(f"{path}/counter")
    token = token_of(game, player)
    owner.get_by_label("Type the token").fill(token.lower())
    owner.keyboard.press("Enter")
    owner.get_by_text("3 now, 2 after this").wait_for()
    assert owner.locator(".counter-player").inner_text() == player["username"]
    assert faults_of_open_page(owner) == []
    owner.get_by_role("button", name="Confirm").click()
    owner.get_by_role("heading", name="Redeemed: 1 spy gadget.").wait_for()
    assert owner.get_by_text("2 left.").is_visible()

    # A scanner types wherever the focus is.
    owner.evaluate("document.activeElement.blur()")
    owner.keyboard.type(f"{token}\n")
    owner.get_by_role("heading", name=f"by {game.owner['username']}.").wait_for()
    assert owner.locator(".counter-panel h2").inner_text().startswith("Already redeemed today at ")
    owner.reload()
    owner.get_by_role("button", name=f"Undo 1 spy gadget of {player['username']}").click()
    owner.get_by_role("heading", name="Undone: 1 spy gadget.").wait_for()
    assert owner.get_by_text("3 left.").is_visible()
    owner.keyboard.type("0000\n")
    owner.get_by_role("heading", name="We don't know this token.").wait_for()
    assert faults_of_open_page(owner) == []

    # The empty field and Enter confirm what is shown.
    owner.keyboard.type(f"{token_of(game, player)}\n")
    owner.get_by_role("button", name="Confirm").wait_for()
    owner.keyboard.press("Enter")
    owner.get_by_role("heading", name="Redeemed: 1 spy gadget.").wait_for()
    owner.goto(f"{path}/redemptions")
    owner.get_by_role("button", name="Change limits of spy gadget").click()
    owner.get_by_label("Stock").fill("many")
    complaints.expect("422")
    owner.get_by_role("button", name="Save").click()
    owner.locator("#stock[aria-invalid=true]").wait_for()
    owner.get_by_label("Stock").fill("40")
    owner.get_by_role("button", name="Save").click()
    owner.locator("#items").get_by_text("39").wait_for()
    assert faults_of_page(owner, f"{path}/redemptions") == []


def test_screen_is_created_opened_and_revoked(owner: Any, game: Game, path: str) -> None:
    code = game.code(code=f"lobby-{game.org_id[-6:]}", rotating=True, description=MARKUP)
    game.code(rotating=True)
    owner.goto(f"{path}/codes/{code['id']}")
    image = owner.locator("[data-rotating] img")
    image.wait_for()
    owner.wait_for_function("element => element.naturalWidth", arg=image.element_handle())
    owner.get_by_role("main").get_by_role("link", name="Screens").click()
    assert owner.get_by_role("dialog").get_by_label("Code").input_value() == code["id"]
    owner.get_by_label("Name").fill(MARKUP[:40])
    owner.keyboard.press("Enter")
    address = owner.locator("#screen-address")
    address.wait_for()
    owner.locator("#screen-image:not([src=''])").wait_for()
    assert look(owner) == address.inner_text(), "the camera of the screen's device reads it"
    shown = owner.context.request.get(address.inner_text())
    assert shown.status == 200
    secret = address.inner_text()
    owner.get_by_role("button", name="Done").click()
    owner.locator("tr[data-screen]").wait_for()
    assert faults_of_page(owner, f"{path}/screens") == []
    assert secret not in owner.content()
    owner.locator("tr[data-screen]").get_by_role("button").click()
    owner.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    owner.get_by_text("No screens yet.").wait_for()
    assert owner.context.request.get(secret).status == 404
    assert owner.evaluate("window.hacked") is None


def test_pages_are_accessible_filled_and_empty(owner: Any, game: Game, path: str) -> None:
    pages = ("scans", "reviews", "progress", "screens", "redemptions")
    faults = {page: faults_of_page(owner, f"{path}/{page}") for page in pages}
    ((player, verdict),) = hold(game, 1)
    scan(game, player, game.code(active=False))
    filled = ("scans", "reviews", f"reviews/{verdict['scan_id']}", "progress")
    faults |= {f"filled {page}": faults_of_page(owner, f"{path}/{page}") for page in filled}

    assert {page: found for page, found in faults.items() if found} == {}
    assert owner.evaluate("window.hacked") is None
