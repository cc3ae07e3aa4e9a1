"""An admin places a code with a phone in front of it."""

from collections.abc import Callable
from typing import Any

import pytest

from script.stack import RunningServer
from tests.conftest import PASSWORD
from tests.pages.browsers import DAM_SQUARE
from tests.pages.conftest import Game
from tests.pages.fake_cameras import CANVAS, rows
from tests.pages.page_checks import faults_of_open_page
from tests.support.browser_sessions import SAME

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]
OFFICE = {"latitude": 52.40, "longitude": 4.95, "accuracy": 40}


@pytest.fixture
def owner(open_context: Callable[..., Any], game: Game) -> Any:
    """Return a page of the owner on a phone at the office, without a permission to locate it."""
    context = open_context(phone=True, reduced_motion="reduce", geolocation=OFFICE)
    context.add_init_script(CANVAS)
    body = {"username": game.owner["username"], "password": PASSWORD}
    assert context.request.post("/session", data=body, headers=SAME).ok
    return context.new_page()


def find(game: Game, code: Any) -> Any:
    path = f"/api/organizations/{game.org_id}/qr-codes/{code['id']}"
    return game.api.ask("GET", path, game.owner["access_token"])


def test_blank_code_is_scanned_and_placed_where_the_phone_is(owner: Any, site: RunningServer, game: Game) -> None:
    code = game.code(active=False, description="", reward=None)
    owner.context.grant_permissions(["geolocation"])
    owner.goto(f"/o/{game.organization['slug']}/place")
    owner.locator(".camera[data-state=scanning]").wait_for()
    wrong = faults_of_open_page(owner)
    for text in (f"{site.base_url}/s/nothing1", f"{site.base_url}/s/{code['code']}"):
        owner.evaluate("rows => show(rows)", rows(text))
        owner.get_by_text(text.rpartition("/")[2]).wait_for()
    owner.get_by_text("Your location is accurate to 40 m").wait_for()
    assert owner.evaluate("tracks.every(track => track.readyState === 'ended')"), "the camera is off"
    # The way from the office to the code is not a part of its place.
    owner.context.set_geolocation(DAM_SQUARE)
    owner.get_by_text("Your location is accurate to 8 m").wait_for()
    wrong += faults_of_open_page(owner)
    owner.get_by_label("Description").fill("The lion on Dam square")
    owner.get_by_role("button", name="Place it here").click()
    owner.get_by_role("heading", name="Placed just now").wait_for()

    assert owner.locator("#placed li").inner_text().startswith(code["code"])
    owner.locator(".camera[data-state=scanning]").wait_for()
    placed = find(game, code)
    assert (placed["description"], placed["active"], placed["requires_location"]) == (
        "The lion on Dam square",
        True,
        True,
    )
    assert abs(placed["latitude"] - DAM_SQUARE["latitude"]) < 0.001
    assert wrong == [], "\n".join(wrong)


def test_phone_without_a_permission_says_what_to_do(owner: Any, game: Game) -> None:
    code = game.code(description="Dam Square")
    owner.goto(f"/o/{game.organization['slug']}/place?code={code['code']}")
    owner.get_by_text("Location access is blocked.").wait_for()
    assert owner.get_by_role("button", name="Place it here").is_disabled()
    wrong = faults_of_open_page(owner)
    owner.context.grant_permissions(["geolocation"])
    owner.reload()
    owner.get_by_text("Your location is accurate to 40 m").wait_for()
    owner.get_by_role("button", name="Scan another code").click()
    owner.get_by_label("Or type the code").fill(f"harbor.example/s/{code['code']}")
    owner.keyboard.press("Enter")
    owner.get_by_role("heading", name=code["code"]).wait_for()

    assert find(game, code)["latitude"] is None
    assert wrong == [], "\n".join(wrong)
