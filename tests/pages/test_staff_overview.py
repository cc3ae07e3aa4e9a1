"""A new organization in a browser: created in one field, and its first scan appears by itself."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import Api, Complaints
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_open_page, faults_of_page, settle
from tests.pages.test_staff_codes import MARKUP
from tests.support.browser_sessions import SAME

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]


def sign_in(context: Any, session: Any) -> Any:
    """Return a page of this player."""
    body = {"username": session["username"], "password": PASSWORD}
    assert context.request.post("/session", data=body, headers=SAME).ok
    return context.new_page()


@pytest.fixture
def newcomer(open_context: Callable[..., Any], api: Api) -> Any:
    return sign_in(open_context(reduced_motion="reduce"), api.register())


def test_organization_is_created_in_one_field(newcomer: Any, game: Game, complaints: Complaints) -> None:
    newcomer.goto("/o")
    newcomer.get_by_text("Create your first organization").wait_for()
    newcomer.keyboard.press("n")
    newcomer.keyboard.type(game.organization["name"])
    complaints.expect("409")
    newcomer.keyboard.press("Enter")
    newcomer.get_by_text("That short name is taken. Choose another one.").wait_for()
    slug = newcomer.get_by_label("Short name in addresses")
    assert slug.input_value() == game.organization["slug"]
    wrong = faults_of_open_page(newcomer)
    slug.fill(game.organization["slug"] + "-2")
    slug.press("Enter")
    newcomer.wait_for_url(f"**/o/{game.organization['slug']}-2")

    assert newcomer.get_by_role("heading", name="Your first scan in three steps").is_visible()
    assert newcomer.get_by_role("link", name="New code").is_visible()
    wrong += faults_of_open_page(newcomer) + faults_of_page(newcomer, "/o")
    assert wrong == [], "\n".join(wrong)


def test_first_scan_ends_the_checklist_by_itself(open_context: Callable[..., Any], game: Game) -> None:
    game.api.ask("PATCH", f"/api/organizations/{game.org_id}", game.owner["access_token"], {"name": f"Harbor {MARKUP}"})
    code = game.code(description=f"Dam {MARKUP}")
    path = f"/o/{game.organization['slug']}"
    owner = sign_in(open_context(reduced_motion="reduce"), game.owner)
    owner.goto(path)
    owner.get_by_text("Waiting for your scan…").wait_for()
    assert owner.get_by_role("img", name=f"QR code {code['code']}").evaluate("image => image.naturalWidth") > 0
    assert owner.get_by_text("Scans today").is_hidden()
    wrong = faults_of_open_page(owner)

    phone = game.api.register()
    body = {"player_id": phone["player_id"], "qr_code": code["code"]}
    game.api.ask("POST", "/scan", phone["access_token"], body, Prefer="wait=10")

    owner.get_by_text("Your scan arrived. That was all.").wait_for()
    owner.locator("#overview li", has_text=code["code"]).get_by_text("Success").wait_for()
    owner.locator(".figure", has_text="Scans today").locator("strong").get_by_text("1", exact=True).wait_for()
    settle(owner, path)
    assert owner.locator("#checklist").count() == 0
    wrong += faults_of_open_page(owner) + faults_of(owner.context.request.get(path).text())
    assert wrong == [], "\n".join(wrong)
    assert owner.evaluate("typeof hacked") == "undefined"
