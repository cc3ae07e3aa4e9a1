"""The list of codes in a browser: create, filter, select many, change, and all of it by keyboard."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_open_page, faults_of_page, settle
from tests.support.browser_sessions import SAME

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


def codes_of(game: Game, query: str = "") -> list[Any]:
    path = f"/api/organizations/{game.org_id}/qr-codes?{query}"
    return list(game.api.ask("GET", path, game.owner["access_token"])["items"])


def test_code_is_created_by_its_description_alone(owner: Any, game: Game, path: str) -> None:
    owner.goto(f"{path}/codes")
    owner.get_by_text("No codes yet").wait_for()
    for description in ("Old harbor crane", "Fish market"):
        owner.get_by_label("Description of a new code").fill(description)
        owner.keyboard.press("Enter")
        owner.locator("tr", has_text=description).wait_for()

    owner.get_by_label("Description of a new code").fill("Opening hours")
    owner.locator("#quick-type").select_option(label="Link only")
    owner.get_by_label("Address").fill("https://museum.example/hours")
    owner.keyboard.press("Enter")
    owner.locator("tr", has_text="Opening hours").get_by_text("Link only").wait_for()

    created = codes_of(game)
    assert [code["description"] for code in created] == ["Opening hours", "Fish market", "Old harbor crane"]
    assert (created[0]["scan_type"], created[0]["target_url"]) == (None, "https://museum.example/hours")
    assert owner.locator("tr[data-id]").first.inner_text().count("Opening hours") == 1
    owner.locator(".list-count", has_text="3 codes").wait_for()


def test_typing_filters_the_rows_and_the_address(owner: Any, game: Game, path: str) -> None:
    for description in ("Old harbor crane", "Fish market"):
        game.code(description=description, tags=["east"])
    owner.goto(f"{path}/codes")
    owner.keyboard.press("/")
    owner.keyboard.type("crane")
    owner.locator("tr", has_text="Fish market").wait_for(state="detached")

    assert owner.url.endswith("/codes?q=crane")
    assert owner.locator("#live-region").inner_text() == "1 code"
    owner.reload()
    assert owner.get_by_role("searchbox").input_value() == "crane"
    assert owner.locator("tr[data-id]").count() == 1
    owner.locator("#tag").press_sequentially("ea")
    owner.locator("#tags option[value=east]").wait_for(state="attached")


def test_many_codes_are_tagged_turned_off_and_deleted(owner: Any, game: Game, path: str) -> None:
    new = [{"code": f"b{number:03}", "scan_type": "item_drop"} for number in range(60)]
    bulk = f"/api/organizations/{game.org_id}/qr-codes/bulk"
    game.api.ask("POST", bulk, game.owner["access_token"], {"codes": new})
    kept = game.code(description="Kept")
    owner.goto(f"{path}/codes?q=b0")
    owner.get_by_label("Select all codes on this page").check()
    owner.get_by_text("50 codes selected").wait_for()
    owner.get_by_role("button", name="Select all 60 matching codes").click()
    bar = owner.get_by_role("toolbar", name="Selected codes")
    bar.get_by_role("button", name="Tag").click()
    owner.get_by_role("dialog").get_by_label("Tag").fill("summer")
    owner.get_by_role("button", name="Add tag").click()
    owner.get_by_text("60 codes changed").wait_for()
    assert len(codes_of(game, "tag=summer&limit=200")) == 60
    owner.locator("#rows").get_by_text("summer").first.wait_for()

    owner.locator("[data-select]").nth(0).check()
    owner.locator("[data-select]").nth(2).click(modifiers=["Shift"])
    owner.get_by_text("3 codes selected").wait_for()
    bar.get_by_role("button", name="Turn off").click()
    owner.get_by_text("3 codes changed").wait_for()
    assert len(codes_of(game, "active=false")) == 3
    owner.locator("#rows td").get_by_text("Off").nth(2).wait_for()

    owner.get_by_role("link", name="Load more").click()
    owner.locator("[data-select]").nth(59).wait_for()
    owner.get_by_label("Select all codes on this page").check()
    owner.get_by_text("60 codes selected").wait_for()
    assert owner.get_by_role("button", name="matching codes").is_hidden(), "these are all that match"
    bar.get_by_role("button", name="Delete").click()
    dialog = owner.get_by_role("dialog", name="Delete 60 codes?")
    assert dialog.get_by_role("button", name="Delete").is_disabled()
    dialog.get_by_label("Type 60 to confirm.").fill("60")
    dialog.get_by_role("button", name="Delete").click()
    owner.get_by_text("60 codes deleted").wait_for()
    assert [code["code"] for code in codes_of(game)] == [kept["code"]]


def test_refused_change_of_many_says_why_and_keeps_the_selection(
    owner: Any, game: Game, path: str, complaints: Complaints
) -> None:
    goal = game.code(description="Goal")
    game.code(scan_type="transportation", reward=None, destination_code=goal["code"])
    owner.goto(f"{path}/codes?q=Goal")
    owner.get_by_label(f"Select {goal['code']}").check()
    complaints.expect("409")
    owner.locator("[data-bulk=delete]").click()
    owner.get_by_role("dialog").get_by_role("button", name="Delete").click()
    owner.locator("[data-problem]").get_by_text("destination").wait_for()
    assert owner.get_by_text("1 code selected").is_visible()
    assert faults_of_open_page(owner) == []


def test_selection_is_handed_to_a_render(owner: Any, game: Game, path: str) -> None:
    code, _ = game.code(description="Crane"), game.code()
    for button, output in (("Render", "Images"), ("Label sheet", "Label sheet")):
        owner.goto(f"{path}/codes?q=Crane")
        owner.get_by_label(f"Select {code['code']}").check()
        owner.get_by_role("button", name=button).click()
        owner.wait_for_url(lambda url: "/renders/new" in url)
        assert owner.get_by_role("radio", name=output).is_checked()
        owner.get_by_text("1 code", exact=False).first.wait_for()


def test_one_code_is_changed_by_keyboard_alone(owner: Any, game: Game, path: str) -> None:
    second, first = game.code(description="Second"), game.code(description="First")
    owner.goto(f"{path}/codes")
    for key in "jjkj":
        owner.keyboard.press(key)
    assert owner.evaluate("document.activeElement.textContent") == second["code"]
    owner.keyboard.press("x")
    assert owner.get_by_text("1 code selected").is_visible()
    owner.keyboard.press("x")
    with owner.expect_download() as download:
        owner.keyboard.press("d")
    assert download.value.suggested_filename == f"qr-{second['code']}.png"

    owner.get_by_role("button", name=f"Actions for {first['code']}").press("Enter")
    assert owner.evaluate("document.activeElement.textContent.trim()") == "Edit"
    for _ in range(2):
        owner.keyboard.press("ArrowUp")
    owner.keyboard.press("Enter")
    owner.locator("tr", has_text="First").get_by_text("Off").wait_for()
    assert not codes_of(game)[0]["active"]

    owner.get_by_role("button", name=f"Actions for {first['code']}").press("Enter")
    owner.keyboard.press("ArrowUp")
    owner.keyboard.press("Enter")
    dialog = owner.get_by_role("dialog", name=f"Delete {first['code']}?")
    dialog.get_by_role("button", name="Delete").press("Enter")
    owner.locator("tr", has_text="First").wait_for(state="detached")
    owner.locator(".list-count", has_text="1 code").wait_for()
    assert [code["id"] for code in codes_of(game)] == [second["id"]]


def test_list_of_codes_is_accessible(owner: Any, game: Game, path: str) -> None:
    wrong = faults_of_page(owner, f"{path}/codes")
    game.code(description=f"Markup {MARKUP}", tags=["east"], requires_location=True, latitude=52.37, longitude=4.89)
    game.code(active=False, description="Off " + "very long words " * 20, code="w" * 64)
    settle(owner, f"{path}/codes")
    owner.locator("[data-select]").first.check()
    owner.locator("[popovertarget]").first.click()
    wrong += faults_of_open_page(owner) + faults_of(owner.context.request.get(f"{path}/codes").text())

    assert wrong == [], "\n".join(wrong)
    assert owner.evaluate("typeof hacked") == "undefined"
