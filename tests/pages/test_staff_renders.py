"""Renders in a browser: start one, watch it while processes are killed, get its file."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from script.stack import RunningServer
from shared.infra.db import Conn
from shared.organizations import store as organizations
from shared.renders import store
from tests.pages.browsers import Complaints
from tests.pages.check_ins import sign_in
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.renders.factories import add_render, make_codes
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.query_counts import collected_queries
from tests.system.processes import restarted

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

MARKUP = '"><img src=x onerror=hacked=1>'
WATCH_BAR = """() => {
    globalThis.moves = [];
    const bar = document.getElementById('bar');
    new MutationObserver(() => moves.push(Number(bar.getAttribute('aria-valuenow'))))
        .observe(bar, {attributeFilter: ['aria-valuenow']});
}"""


@pytest.fixture
def base(game: Game) -> str:
    return f"/o/{game.organization['slug']}"


@pytest.fixture
def page(game: Game, site: RunningServer, open_context: Callable[..., Any]) -> Any:
    """Return a page of an admin."""
    context = open_context()
    sign_in(context, site, game.owner["username"])
    return context.new_page()


def make_many(game: Game, count: int, **fields: Any) -> list[str]:
    path = f"/api/organizations/{game.org_id}/qr-codes/bulk"
    body = {"codes": [{"scan_type": "item_drop"} | fields] * count}
    return [row["qr_id"] for row in game.api.ask("POST", path, game.owner["access_token"], body)["rows"]]


def start(game: Game, **body: Any) -> Any:
    path = f"/api/organizations/{game.org_id}/renders"
    return game.api.ask("POST", path, game.owner["access_token"], body)


def moves_after(page: Any, count: int) -> int:
    """Wait until the bar has moved more than `count` times. Return how often it has."""
    page.wait_for_function("count => moves.length > count", arg=count, timeout=60_000)
    return int(page.evaluate("moves.length"))


def test_bar_moves_while_a_worker_and_the_relay_are_killed(
    game: Game, page: Any, base: str, site: RunningServer, complaints: Complaints
) -> None:
    make_many(game, 500)
    # Slow enough not to end before the second process is killed. The test cancels it.
    render = start(game, all=True, format="png", size=2_000)
    page.goto(f"{base}/renders/{render['render_id']}")
    page.evaluate(WATCH_BAR)
    moved = moves_after(page, 1)
    for process in ("relay", "bulk"):
        killed = site.kill(process)
        moved = moves_after(page, moved)
        restarted(site, process, than=killed)
    moves = page.evaluate("moves")
    assert len(moves) > 3
    assert moves == sorted(moves)
    assert re.fullmatch(r"\d+% · Waymark", page.title())

    page.get_by_role("button", name="Cancel render").click()
    page.get_by_text("Cancel this render? You'll have to start over.").is_visible()
    page.get_by_role("dialog").get_by_role("button", name="Cancel render").click()
    page.locator("#render").get_by_text("Canceled").wait_for()
    page.wait_for_function("() => document.title.startsWith('PNG images')")


def test_bar_moves_without_a_socket(game: Game, page: Any, base: str, complaints: Complaints) -> None:
    make_many(game, 300)
    complaints.expect("ERR_FAILED")
    page.route("**/ws/ticket", lambda route: route.abort())
    render = start(game, all=True, format="svg", size=1_000)
    page.goto(f"{base}/renders")
    row = page.locator(f"[data-render='{render['render_id']}']")
    row.get_by_text("%").wait_for()
    row.get_by_role("link", name="Download").wait_for(timeout=60_000)


def test_selected_codes_become_labels_from_the_first_free_one(game: Game, page: Any, base: str) -> None:
    ids = make_many(game, 3)
    game.code(rotating=True, tags=["mixed"])
    game.code(tags=["mixed"], description=MARKUP)
    page.goto(f"{base}/renders")
    assert faults_of_page(page, f"{base}/renders") == []
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate("ids => sessionStorage.setItem('waymark-selection', JSON.stringify({ids}))", ids)
    page.goto(f"{base}/renders/new?output=label_sheet")
    page.get_by_role("radio", name="Selected codes").is_checked()
    page.get_by_text("3 codes on 1 sheet, about 1 s").wait_for()
    page.get_by_label("Start at label").fill("23")
    page.get_by_text("3 codes on 2 sheets").wait_for()
    assert page.locator("#first-sheet .sheet-label:not(.is-blank)").count() == 2
    page.locator("#first-sheet .sheet-label").nth(4).click()
    assert page.get_by_label("Start at label").input_value() == "5"
    page.get_by_role("button", name="Start render").click()
    page.get_by_role("link", name="Download").wait_for()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    with Path(downloading.value.path()).open("rb") as file:
        assert file.read(5) == b"%PDF-"
    page.get_by_role("button", name="Delete file").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete file").click()
    page.get_by_text("The file has expired.").wait_for()

    render = start(game, tag="mixed")
    page.goto(f"{base}/renders/{render['render_id']}")
    page.get_by_text("Codes that failed").wait_for()
    assert page.locator("tbody tr").count() == 1
    assert page.locator("tbody a").get_attribute("href").startswith(f"{base}/codes/")
    assert faults_of_page(page, f"{base}/renders/{render['render_id']}") == []
    assert faults_of_page(page, f"{base}/renders") == []


def test_sheet_is_made_changed_and_deleted(game: Game, page: Any, base: str, complaints: Complaints) -> None:
    game.code()
    assert faults_of_page(page, f"{base}/renders/new") == []
    assert page.get_by_role("radio", name="All codes 1 code").is_checked()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Custom sheet").press("Enter")
    page.keyboard.type(MARKUP)
    page.get_by_label("Label width").fill("70,5")
    complaints.expect("422")
    page.keyboard.press("Enter")
    page.get_by_text("Use at least 70.5, the size of a label. Otherwise labels overlap.").wait_for()
    assert faults_of_open_page(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_label("Column pitch").fill("70.5")
    page.get_by_label("Left margin").fill("0")
    page.get_by_label("Page width").fill("220")
    page.get_by_label("Rows").fill("2")
    assert page.locator("#template-preview .sheet-label").count() == 6
    page.keyboard.press("Enter")
    page.get_by_text("Saved").wait_for()
    card = page.locator(".sheet-card", has_text="onerror")
    assert card.get_by_role("radio").is_checked()
    page.get_by_text("1 code on 1 sheet").wait_for()
    assert page.locator("#first-sheet .sheet-label").count() == 6
    card.get_by_role("button", name="Edit").click()
    page.get_by_label("Rows").fill("1")
    page.get_by_role("button", name="Save").click()
    page.wait_for_function("() => document.querySelectorAll('#first-sheet .sheet-label').length === 3")
    page.get_by_label("Images").check()
    assert page.get_by_label("Size in pixels").is_visible()
    page.get_by_text("51 mm at 300 dpi, readable from about 51 cm").wait_for()
    page.get_by_label("Size in pixels").fill("50")
    page.get_by_role("button", name="Start render").click()
    page.locator("#size[aria-invalid=true]").wait_for()
    page.get_by_label("Label sheet").check()
    card.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete sheet").click()
    card.wait_for(state="detached")
    assert page.evaluate("globalThis.hacked") is None


@pytest.mark.parametrize("status", ["queued", "running", "failed", "canceled"])
def test_state_of_a_render_is_for_its_organization(app: Flask, conn: Conn, staff: Staff, status: str) -> None:
    render_id = add_render(conn, staff.org_id, make_codes(conn, staff.org_id, 2))
    conn.execute("UPDATE render_jobs SET status = 'running' WHERE id = %s AND %s = 'running'", (render_id, status))
    if status in ("failed", "canceled"):
        store.end(conn, render_id, status, MARKUP if status == "failed" else None)
    base, browser = f"/o/{organizations.get_slug(conn, staff.org_id)}", browser_of(app, staff.admin)

    pages = [browser.get(path, headers=BROWSER) for path in (f"{base}/renders/{render_id}", f"{base}/renders")]

    for shown in pages:
        assert (shown.status_code, faults_of(shown.text), MARKUP in shown.text) == (200, [], False)
        assert (" data-open>" in shown.text) == (status in ("queued", "running"))
    other = make_staff(app, conn)
    elsewhere = f"/o/{organizations.get_slug(conn, other.org_id)}/renders"
    assert browser_of(app, other.admin).get(f"{elsewhere}/{render_id}", headers=BROWSER).status_code == 404
    assert str(render_id) not in browser_of(app, other.admin).get(elsewhere, headers=BROWSER).text
    assert browser.get(f"{base}/renders/{uuid4()}", headers=BROWSER).status_code == 404
    assert browser.get(f"{base}/renders/none", headers=BROWSER).status_code == 404


def test_form_needs_codes_to_render(app: Flask, conn: Conn, staff: Staff) -> None:
    path, browser = f"/o/{organizations.get_slug(conn, staff.org_id)}/renders/new", browser_of(app, staff.admin)

    before = browser.get(path, headers=BROWSER).text
    make_codes(conn, staff.org_id, 1)
    after = browser.get(path, headers=BROWSER).text

    assert "No codes yet" in before
    assert [("new-render.js" in page, 'id="render"' in page) for page in (before, after)] == [(False,) * 2, (True,) * 2]


def test_list_of_renders_costs_the_same_queries_for_one_and_for_fifty(app: Flask, conn: Conn, staff: Staff) -> None:
    codes = make_codes(conn, staff.org_id, 1)
    path, browser = f"/o/{organizations.get_slug(conn, staff.org_id)}/renders", browser_of(app, staff.admin)
    counts = []
    for renders in (1, 50):
        for _ in range(renders):
            add_render(conn, staff.org_id, codes)
        with collected_queries() as queries:
            shown = browser.get(path, headers=BROWSER)
        counts.append(len(queries))
    first = store.list_for_organization(conn, staff.org_id, limit=51)[-1]
    assert counts[0] == counts[1]
    assert shown.text.count("<tr data-render=") == 50
    (more,) = re.findall(r'href="(\?cursor=[^"]+)"', shown.text)
    assert str(first.id) in browser.get(path + more, headers=BROWSER).text
