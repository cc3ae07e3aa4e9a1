"""Quests in a browser: made by typing, turned on, changed while players are in progress, turned off or deleted."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from script.stack import RunningServer
from shared.infra.db import Conn
from shared.organizations import store as organizations
from shared.quests import definitions
from shared.quests.definitions import QuestDefinition
from tests.pages.browsers import Complaints
from tests.pages.check_ins import sign_in
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.query_counts import collected_queries

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

MARKUP = '"><img src=x onerror=hacked=1>'
SENTENCES = """async quests => {
    const {sentenceOf} = await import(document.body.dataset.static + 'js/staff/quests/sentence.js');
    return quests.map(sentenceOf);
}"""
PLAIN = {
    "codes": [],
    "tags": [],
    "streak": 1,
    "duplication": 1,
    "daily": False,
    "grace_days": 0,
    "in_order": False,
    "within_seconds": None,
    "reward": None,
}


@pytest.fixture
def base(game: Game) -> str:
    return f"/o/{game.organization['slug']}"


@pytest.fixture
def page(game: Game, site: RunningServer, open_context: Callable[..., Any]) -> Any:
    """Return a page of an admin."""
    context = open_context()
    sign_in(context, site, game.owner["username"])
    return context.new_page()


def quests_of(game: Game) -> dict[str, Any]:
    found = game.api.ask("GET", f"/api/organizations/{game.org_id}/quests", game.owner["access_token"])
    return {quest["name"]: quest for quest in found["items"]}


def test_quest_is_one_sentence(desktop: Any) -> None:
    desktop.goto("/sign-in")
    expected: list[tuple[dict[str, Any], str]] = [
        ({}, ""),
        ({"tags": ["landmark"]}, "Scan a code tagged landmark, once."),
        ({"tags": ["a", "b"], "streak": 5}, "Scan 5 different codes tagged a or b, once."),
        (
            {"tags": ["a", "b"], "streak": 2, "in_order": True, "within_seconds": 7_200},
            "Scan codes tagged a and b in this order within 2 hours, once.",
        ),
        (
            {"codes": ["x", "y"], "streak": 2, "reward": {"item": "spy_gadget", "quantity": 3}, "duplication": 4},
            "Scan x and y and get 3 spy gadget, up to 4 times.",
        ),
        ({"codes": list("abcdefg"), "streak": 3}, "Scan 3 of a, b, c, d, and 3 more, once."),
        ({"codes": ["x", "y"], "streak": 2, "in_order": True}, "Scan x and y in this order, once."),
        (
            {"tags": ["a"], "streak": 7, "daily": True, "within_seconds": None},
            "Scan a code tagged a on 7 days in a row, once.",
        ),
        (
            {"codes": ["x", "y"], "streak": 7, "daily": True, "grace_days": 1},
            "Scan x or y on 7 days (at most 1 day missed in between), once.",
        ),
        (
            {"tags": ["a"], "within_seconds": 90},
            "Scan a code tagged a within 90 seconds, once.",
        ),
    ]
    assert desktop.evaluate(SENTENCES, [PLAIN | fields for fields, _ in expected]) == [text for _, text in expected]


def test_quest_is_made_by_keyboard_turned_on_and_deleted(
    game: Game, page: Any, base: str, complaints: Complaints
) -> None:
    for name in ("one", "two"):
        game.code(description=f"{name} {MARKUP}", tags=["landmark"])
    assert faults_of_page(page, f"{base}/quests") == []
    page.set_viewport_size({"width": 1280, "height": 900})
    page.keyboard.press("n")
    page.wait_for_url("**/quests/new")
    name = page.get_by_label("Name", exact=True)
    assert name.input_value() == f"{game.organization['slug']}-"
    page.get_by_role("button", name="Create quest").press("Enter")
    complaints.expect("422")
    page.locator("#name[aria-invalid=true]").wait_for()
    assert faults_of_open_page(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})
    name.press("End")
    page.keyboard.type("trail")
    page.get_by_label("Description").fill(f"Find {MARKUP}")
    page.get_by_role("button", name="landmark 2").press("Enter")
    page.get_by_text("2 codes have the tag landmark.").wait_for()
    page.get_by_label("How many").fill("2")
    page.get_by_label("Item").fill("harbor_badge")
    assert page.locator("#sentence").inner_text() == (
        "Scan 2 different codes tagged landmark and get 1 harbor badge, once."
    )
    preview = page.locator("#preview")
    assert "0 of 2" in preview.inner_text()
    assert MARKUP in preview.inner_text()
    page.get_by_role("button", name="Create quest").press("Enter")
    page.wait_for_url(f"**/quests/{game.organization['slug']}-trail")
    (quest,) = quests_of(game).values()
    assert (quest["tags"], quest["streak"], quest["active"]) == (["landmark"], 2, False)
    assert quest["reward"] == {"item": "harbor_badge", "quantity": 1}

    page.goto(f"{base}/quests")
    switch = page.get_by_role("switch")
    switch.press("Space")
    page.get_by_text("Turned on.").wait_for()
    assert switch.get_attribute("aria-checked") == "true"
    assert quests_of(game)[quest["name"]]["active"] is True
    assert faults_of_page(page, f"{base}/quests") == []
    page.goto(f"{base}/quests/{quest['name']}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete quest").click()
    page.get_by_text("No quests yet").wait_for()
    assert page.evaluate("globalThis.hacked") is None


def test_change_keeps_the_progress_of_players_and_says_so(
    game: Game, page: Any, base: str, complaints: Complaints
) -> None:
    codes = [game.code()["code"] for _ in range(3)]
    token, name = game.owner["access_token"], f"quest-{game.organization['slug']}"
    body = {"name": name, "codes": codes, "streak": 3, "active": True}
    game.api.ask("POST", f"/api/organizations/{game.org_id}/quests", token, body)
    player = game.api.register()
    for code in codes[:2]:
        scan = {"player_id": player["player_id"], "qr_code": code}
        game.api.ask("POST", "/scan", player["access_token"], scan, Prefer="wait=10")
    page.goto(f"{base}/quests/{name}")
    page.get_by_text("1 player is in progress. Their progress is kept and counts toward the new goal.").wait_for()
    page.get_by_label("How many").fill("2")
    page.get_by_text("1 of them would complete the quest with the next scan.").wait_for()

    complaints.expect("422")
    page.get_by_label("Codes", exact=True).fill("\n".join([codes[0], "no-such-code"]))
    page.get_by_role("button", name="Save").click()
    page.get_by_text("This organization has no code no-such-code.").wait_for()
    page.get_by_label("Codes", exact=True).fill(codes[1])
    page.get_by_label("Add a code").fill(codes[0])
    page.keyboard.press("Enter")
    page.get_by_label("In order").check()
    assert page.get_by_label("How many").input_value() == "2"
    page.get_by_label("Time limit", exact=True).fill("90")
    with page.expect_request(lambda request: request.method == "PATCH") as saving:
        page.get_by_role("button", name="Save").click()
    assert saving.value.post_data_json == {
        "codes": [codes[1], codes[0]],
        "streak": 2,
        "in_order": True,
        "within_seconds": 5_400,
    }
    page.get_by_text("Saved").wait_for()
    assert faults_of_page(page, f"{base}/quests/{name}") == []
    page.set_viewport_size({"width": 1280, "height": 900})

    complaints.expect("409")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete quest").click()
    page.get_by_role("button", name="Turn off instead").click()
    page.get_by_text("Turned off.").wait_for()
    assert quests_of(game)[name]["active"] is False
    assert quests_of(game)[name]["players_in_progress"] == 1


def test_quest_is_for_its_organization_and_that_of_the_operator_is_read_only(
    app: Flask, conn: Conn, staff: Staff
) -> None:
    slug = organizations.get_slug(conn, staff.org_id)
    browser = browser_of(app, staff.admin)
    for quest in (
        QuestDefinition("own", 3, description=MARKUP, tags=("a",), within_seconds=86_400),
        QuestDefinition("daily", 3, tags=("a",), daily=True, grace_days=2),
    ):
        definitions.save(conn, quest, staff.org_id)
    definitions.save(conn, QuestDefinition("central", 1, codes=("abc",)))
    definitions.set_organization(conn, "central", staff.org_id)

    listed, own, central = (
        browser.get(f"/o/{slug}/quests{path}", headers=BROWSER) for path in ("", "/own", "/central")
    )

    for shown in (listed, own, central):
        assert (shown.status_code, faults_of(shown.text), MARKUP in shown.text) == (200, [], False)
    assert listed.text.count('role="switch"') == 2
    assert "Managed by the operator" in listed.text
    assert '<option value="86400" selected>' in own.text
    assert ('type="submit"' in own.text, 'type="submit"' in central.text) == (True, False)
    assert ("disabled" in own.text, central.text.count(" disabled>")) == (False, 3)
    other = make_staff(app, conn)
    elsewhere = f"/o/{organizations.get_slug(conn, other.org_id)}/quests"
    assert "own" not in browser_of(app, other.admin).get(elsewhere, headers=BROWSER).text.split('id="rows"')[1]
    for name in ("own", "central", "none", "a%00b", "..."):
        assert browser_of(app, other.admin).get(f"{elsewhere}/{name}", headers=BROWSER).status_code == 404


def test_list_of_quests_costs_the_same_queries_for_one_and_for_fifty(app: Flask, conn: Conn, staff: Staff) -> None:
    path, browser = f"/o/{organizations.get_slug(conn, staff.org_id)}/quests", browser_of(app, staff.admin)
    counts = []
    for quests in (1, 51):
        for number in range(quests):
            definitions.save(conn, QuestDefinition(f"q{number:02}", 1, tags=("a",)), staff.org_id)
        with collected_queries() as queries:
            shown = browser.get(path, headers=BROWSER).text
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert (shown.count("data-quest="), "q50" in shown) == (50, False)
    more = shown.split('href="?cursor=')[1].split('"')[0]
    assert "q50" in browser.get(f"{path}?cursor={more}", headers=BROWSER).text
