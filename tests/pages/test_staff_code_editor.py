"""The editor of a code: who opens it, what its sentence says, and all of it by keyboard, by numbers and by position."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.pages.test_every_page import MARKUP, sign_in
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_encounter
from tests.support.query_counts import collected_queries

BASE = {"scan_type": "item_drop", "active": True, "per_player_limit": 1, "radius_m": 50, "latitude": 1, "longitude": 2}
GADGET = {"reward": {"item": "spy_gadget", "quantity": 1}}
OFF = "It is turned off."
SENTENCES: list[tuple[dict[str, Any], str]] = [
    (
        GADGET | {"requires_location": True, "description": "Dam Square.", "expires_at": "2026-12-31T23:59:00"},
        "Gives each player 1 spy gadget, once, within 50 m of Dam Square, until December 31.",
    ),
    ({}, "Records that a player was here, without a reward, once."),
    (
        {"reward": {"item": "coin", "quantity": 1500}, "per_player_limit": None, "cooldown_seconds": 5400},
        "Gives each player 1,500 coin, as often as they like, 1 h 30 min apart.",
    ),
    (
        GADGET | {"requires_location": True, "radius_m": 1500, "per_player_limit": 3, "max_scans": 1, "active": False},
        "Gives each player 1 spy gadget, up to 3 times, within 1.5 km of its place, for the first scan only. " + OFF,
    ),
    (
        GADGET | {"scan_type": "encounter", "encounter": {"difficulty_level": 4}, "max_scans": 20},
        "Opens a puzzle of difficulty 4, whose answer gives 1 spy gadget, once, for the first 20 scans.",
    ),
    (
        {"scan_type": "transportation", "destination_code": "station", "starts_at": "2027-01-02T09:30:00"},
        "Sends players to station, once, from January 2, 2027 at 9:30 AM.",
    ),
    (
        {"scan_type": "transportation", "starts_at": "2026-01-01T00:00"},
        "Sends players to a place that is not set yet, once.",
    ),
    ({"scan_type": None, "target_url": "https://museum.example/visit?a=b"}, "Opens museum.example/visit."),
    (
        {"scan_type": None, "rotating": True, "rotation_seconds": 30},
        "Opens a link that is not set yet. The code changes every 30 seconds, so a photo of it stops working.",
    ),
    (
        {"requires_location": True, "latitude": None},
        "Records that a player was here, without a reward, once, at a place that is not set yet.",
    ),
]
DURATIONS = {
    "1 h 30 min": 5400,
    "90": 5400,
    "1h30": 5400,
    "2 days": 172800,
    "1,5 h": 5400,
    "45 s": 45,
    "": 0,
    "soon": None,
    "1 x": None,
    "-5": None,
}
PUZZLE = {
    "text": "Q",
    "sequence": [3, 1, 4],
    "grid": [["a", "b"], ["c", "d"]],
    "choices": ["x", "y"],
    "color": {"red": 1},
    "hint": 7,
}
WORDS = """async ([codes, durations]) => {
    const load = path => import(document.body.dataset.static + 'js/' + path);
    const {describe} = await load('staff/editor/sentence.js');
    const {parseDuration, formatDuration} = await load('staff/editor/durations.js');
    const now = new Date('2026-11-28T12:00:00');
    return {
        sentences: codes.map(code => describe(code, now)),
        durations: durations.map(parseDuration),
        formatted: [5400, 0, 90061].map(formatDuration),
    };
}"""


@pytest.fixture
def slug(conn: Conn, staff: Staff) -> str:
    return organizations.get_slug(conn, staff.org_id)


def test_editor_has_the_fields_of_the_code(app: Any, conn: Conn, staff: Staff, slug: str) -> None:
    code_id = make_code(
        conn, staff.org_id, code="spy123", description=MARKUP, scan_type="encounter", tags=["east", MARKUP[:20]]
    )
    make_encounter(conn, code_id, {"text": MARKUP})
    admin = browser_of(app, staff.admin)

    opened = admin.get(f"/o/{slug}/codes/{code_id}/edit", headers=BROWSER)
    copied = admin.get(f"/o/{slug}/codes/new?copy_of={code_id}", headers=BROWSER)

    config, copy = (json.loads(re.findall('id="code">(.*?)</script>', page.text)[0]) for page in (opened, copied))
    assert (config["id"], config["code"]["code"], config["code"]["description"]) == (str(code_id), "spy123", MARKUP)
    assert config["code"]["encounter"].keys() == {"puzzle_type", "difficulty_level", "data", "solution", "max_attempts"}
    assert (copy["id"], copy["code"]) == (None, config["code"] | {"code": ""})
    for page in (opened, copied):
        assert faults_of(page.text) == []
        assert "<script>hacked" not in page.text
        assert "geolocation=(self)" in page.headers["Permissions-Policy"]


def test_editor_knows_codes_of_its_own_organization_only(app: Any, conn: Conn, staff: Staff, slug: str) -> None:
    own, other = make_code(conn, staff.org_id), make_code(conn, make_staff(app, conn).org_id)
    admin, member = browser_of(app, staff.admin), browser_of(app, staff.analyst)

    paths = [f"/o/{slug}/codes/{own}/edit", f"/o/{slug}/codes/new?copy_of={own}"]
    assert [admin.get(path).status_code for path in paths] == [200, 200]
    assert [member.get(path).status_code for path in paths] == [404, 404]
    elsewhere = [path.replace(str(own), unknown) for path in paths for unknown in (str(other), str(staff.org_id), "x")]
    assert {path: admin.get(path).status_code for path in elsewhere} == dict.fromkeys(elsewhere, 404)


def test_editor_reads_a_code_with_one_query(app: Any, conn: Conn, staff: Staff, slug: str) -> None:
    code_id, admin = make_code(conn, staff.org_id), browser_of(app, staff.admin)
    with collected_queries() as new:
        admin.get(f"/o/{slug}/codes/new")
    with collected_queries() as queries:
        admin.get(f"/o/{slug}/codes/{code_id}/edit")

    assert len(queries) == len(new) + 1


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_sentences_and_durations(open_context: Callable[..., Any]) -> None:
    page = open_context(timezone_id="Europe/Amsterdam").new_page()
    page.goto("/about")
    words = page.evaluate(WORDS, [[BASE | fields for fields, _ in SENTENCES], list(DURATIONS)])

    assert words["sentences"] == [sentence for _, sentence in SENTENCES]
    assert dict(zip(DURATIONS, words["durations"], strict=True)) == DURATIONS
    assert words["formatted"] == ["1 h 30 min", "", "1 d 1 h 1 min 1 s"]


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_code_is_created_by_keyboard_and_by_position(open_context: Callable[..., Any], game: Game) -> None:
    """One code from an empty form: pasted, moved by keys, undone, located, and saved."""
    slug = game.organization["slug"]
    game.code(latitude=52.3701, longitude=4.8951)
    context = open_context(
        geolocation={"latitude": 52.3702, "longitude": 4.8952, "accuracy": 40}, permissions=["geolocation"]
    )
    sign_in(context, game.owner["username"])
    page = context.new_page()
    page.goto(f"/o/{slug}/codes")
    page.keyboard.press("n")
    page.locator("#sentence", has_text="Records that a player was here").wait_for()

    page.fill("#description", "Old Church")
    page.fill("#reward-item", "gold coin")
    page.fill("#tag", "east")
    page.keyboard.press("Enter")
    page.fill("#paste", "https://www.google.com/maps/@52.3744,4.8981,17z")
    page.locator("#sentence", has_text="Gives each player 1 gold coin, once, within 50 m of Old Church.").wait_for()
    page.locator(".map-view").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    moved = [page.input_value(name) for name in ("#latitude", "#longitude")]
    page.click("[data-location=undo]")
    undone = page.input_value("#longitude")
    page.click("[data-location=device]")
    page.get_by_role("button", name="Set the radius to 80 m").click(timeout=20_000)
    located = [page.input_value(name) for name in ("#latitude", "#longitude", "#radius-m")]
    page.fill("#cooldown-seconds", "1 h 30 min")
    page.select_option("#limit", "none")
    page.get_by_role("button", name="Create code").click()
    page.wait_for_url(re.compile(r"/codes/[0-9a-f-]{36}$"))
    made_path = f"/api/organizations/{game.org_id}/qr-codes/{page.url.rpartition('/')[2]}"
    made = game.api.ask("GET", made_path, game.owner["access_token"])

    assert moved == ["52.374409", "4.898247"]
    assert undone == "4.8981"
    assert located == ["52.3702", "4.8952", "80"]
    kept = ("description", "reward", "tags", "latitude", "longitude", "radius_m", "requires_location")
    assert {name: made[name] for name in kept} == {
        "description": "Old Church",
        "reward": {"item": "gold_coin", "quantity": 1},
        "tags": ["east"],
        "latitude": 52.3702,
        "longitude": 4.8952,
        "radius_m": 80,
        "requires_location": True,
    }
    assert (made["cooldown_seconds"], made["per_player_limit"], len(made["code"])) == (5400, None, 12)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_refused_fields_are_named_with_a_way_out(
    open_context: Callable[..., Any], game: Game, complaints: Complaints
) -> None:
    taken = game.code(code=f"gate-{game.org_id[-8:]}-1")["code"]
    context = open_context()
    sign_in(context, game.owner["username"])
    page = context.new_page()
    page.goto(f"/o/{game.organization['slug']}/codes/new")
    page.fill("#max-scans", "many")
    page.fill("#code-text", "a b")
    complaints.expect("422")
    page.get_by_role("button", name="Create code").click()
    page.get_by_text("2 fields need a change:").wait_for()
    focused = page.evaluate("document.activeElement.id")
    messages = [text for text in page.locator(".field-error").all_inner_texts() if text]
    wrong = faults_of_open_page(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.fill("#max-scans", "")
    page.fill("#code-text", taken)
    complaints.expect("409")
    page.get_by_role("button", name="Create code").click()
    page.locator("#code-error", has_text=f"That code is taken. Try {taken[:-1]}2.").wait_for()

    assert focused == "problems"
    assert messages == ["Use 3 to 64 letters, digits, - or _.", "Use a whole number from 1 to 1,000,000,000,000."]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_changes_are_saved_alone_and_guarded(open_context: Callable[..., Any], game: Game) -> None:
    """Only what changed is sent, so a change by another admin stays. Texts hold markup, and the code is long."""
    puzzle = {"puzzle_type": "pattern", "difficulty_level": 4, "data": PUZZLE | {"text": MARKUP}, "solution": "3 1 4"}
    long = f"{game.org_id[-12:]:W<64}"
    look = {"code": long, "description": MARKUP, "tags": [MARKUP[:30]]}
    code = game.code(scan_type="encounter", encounter=puzzle, latitude=1, longitude=2, **look)
    context = open_context(timezone_id="Europe/Amsterdam")
    sign_in(context, game.owner["username"])
    page = context.new_page()
    path = f"/o/{game.organization['slug']}/codes/{code['id']}/edit"
    wrong = faults_of_page(page, path)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(path)
    page.locator("#sentence", has_text="Opens a puzzle of difficulty 4").wait_for()
    untouched = page.locator("#save-state").inner_text()

    game.change(code, max_scans=7)
    page.fill("#expires-at", "2030-12-31T23:59")
    page.fill("#reward-item", "")
    questions: list[str] = []

    def stay(dialog: Any) -> None:
        questions.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", stay)
    page.get_by_role("link", name="Cancel").click()
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.get_by_role("button", name="Save").click()
    page.locator(".toast", has_text="Saved").get_by_role("link", name="Design").wait_for()
    state = page.locator("#save-state").inner_text()
    saved = game.api.ask("GET", f"/api/organizations/{game.org_id}/qr-codes/{code['id']}", game.owner["access_token"])

    assert (untouched, questions, state) == ("", ["beforeunload"], "")
    assert sent.value.post_data_json == {"expires_at": "2030-12-31T22:59:00Z", "reward": None}
    assert (saved["max_scans"], saved["encounter"]["data"]) == (7, PUZZLE | {"text": MARKUP})
    assert page.evaluate("typeof hacked") == "undefined"
    assert wrong == [], "\n".join(wrong)
