"""The page of a code: what each role sees, and its parts that load when they are opened."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_page, settle
from tests.pages.test_every_page import MARKUP, sign_in
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_encounter
from tests.support.query_counts import collected_queries


@pytest.fixture
def slug(conn: Conn, staff: Staff) -> str:
    return organizations.get_slug(conn, staff.org_id)


def test_role_sees_only_what_it_may_use(app: Any, conn: Conn, staff: Staff, slug: str) -> None:
    code_id = make_code(conn, staff.org_id, scan_type="encounter", description=MARKUP, latitude=1, longitude=2)
    make_encounter(conn, code_id, {"text": "open"})
    path = f"/o/{slug}/codes/{code_id}"
    shown = {
        role: browser_of(app, staff[role]).get(path, headers=BROWSER).text for role in ("member", "analyst", "admin")
    }
    tabs = {role: re.findall(r'data-tab="(\w+)"', html) for role, html in shown.items()}

    assert tabs == {
        "member": [],
        "analyst": ["analytics", "scans", "location"],
        "admin": ["analytics", "scans", "location", "history"],
    }
    for role, html in shown.items():
        assert faults_of(html) == [], role
        assert "open sesame" not in html, "the solution is for the editor"
        assert "<script>hacked" not in html
        assert ("leaflet.css" in html) == (role != "member"), "members see no map"
        controls = ("/edit", "/design", "data-delete", "copy_of=")
        assert [control in html for control in controls] == [role == "admin"] * len(controls), role
    asked = [browser_of(app, staff.member).get(f"{path}?tab={tab}").text for tab in ("scans", "history", "x")]
    assert all("data-panel" not in html for html in asked)
    as_analyst = browser_of(app, staff.analyst).get(f"{path}?tab=history").text
    assert 'data-panel="analytics"' in as_analyst


def test_code_of_another_organization_does_not_exist(app: Any, conn: Conn, staff: Staff, slug: str) -> None:
    own, other = make_code(conn, staff.org_id), make_code(conn, make_staff(app, conn).org_id)
    member = browser_of(app, staff.member)

    assert [member.get(f"/o/{slug}/codes/{one}").status_code for one in (own, other, staff.org_id, "x")] == [
        200,
        404,
        404,
        404,
    ]


@pytest.mark.parametrize("tab", ["analytics", "scans", "location", "history"])
def test_part_costs_the_same_number_of_queries_for_many_rows(
    app: Any, client: Any, conn: Conn, staff: Staff, slug: str, tab: str
) -> None:
    code_id, admin = make_code(conn, staff.org_id), browser_of(app, staff.admin)
    path, api = f"/o/{slug}/codes/{code_id}?tab={tab}", f"{staff.path}/qr-codes/{code_id}"
    client.patch(api, json={"description": "0"}, headers=staff.admin.headers)
    admin.get(path)
    with collected_queries() as one:
        admin.get(path)
    for n in range(12):
        client.patch(api, json={"description": f"changed {n}"}, headers=staff.owner.headers)
    admin.get(path)
    with collected_queries() as many:
        html = admin.get(path).text

    assert len(many) <= len(one) <= 20
    assert faults_of(html) == []
    if tab == "history":
        assert html.count("entry-line") == 13


def test_rotating_code_has_no_image_to_download(app: Any, conn: Conn, staff: Staff, slug: str) -> None:
    code_id = make_code(conn, staff.org_id, rotating=True, rotation_seconds=45)
    path = f"/o/{slug}/codes/{code_id}"

    html, as_member = (browser_of(app, person).get(path).text for person in (staff.admin, staff.member))

    for page in (html, as_member):
        assert "This code changes every 45 seconds." in page
        assert "/image" not in page
    assert "A photo of this code works" in html
    assert "data-rotating" in html
    assert "data-rotating" not in as_member, "the current image is for admins"
    assert f"screens?qr_id={code_id}" in html


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_downloads_and_parts(open_context: Callable[..., Any], game: Game) -> None:
    code = game.code(description=MARKUP, tags=[MARKUP[:20]], latitude=52.3731, longitude=4.8926, requires_location=True)
    player = game.api.register()
    body = {"player_id": player["player_id"], "qr_code": code["code"]}
    game.api.ask("POST", "/scan", player["access_token"], body, Prefer="wait=10")
    path = f"/o/{game.organization['slug']}/codes/{code['id']}"
    context = open_context(permissions=["clipboard-read", "clipboard-write"], accept_downloads=True)
    sign_in(context, game.owner["username"])
    page = context.new_page()
    wrong = faults_of_page(page, path)
    for tab in ("scans", "location", "history"):
        settle(page, f"{path}?tab={tab}#{tab}")
        wrong += [f"{tab}: {fault}" for fault in faults_of_page(page, f"{path}?tab={tab}")]
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(path)
    page.locator("#sentence", has_text="Gives each player 1 spy gadget").wait_for()
    sizes = [page.locator("#print-size").inner_text()]
    page.select_option("#format", "svg")
    page.fill("#size", "96")
    sizes.append(page.locator("#print-size").inner_text())
    page.fill("#size", "600")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    page.get_by_role("button", name="Copy image").click()
    page.locator(".toast", has_text="Copied").wait_for()
    copied = page.evaluate("async () => (await navigator.clipboard.read())[0].types")

    page.get_by_role("link", name="Scans", exact=True).last.focus()
    page.keyboard.press("Enter")
    page.locator("#panel", has_text="No location shared").wait_for()
    page.locator("[data-tab=location]").click()
    page.locator("#code-map .map-pin").wait_for()
    page.reload()
    page.locator("#code-map .map-pin").wait_for()

    assert sizes == [
        "84.7 mm at 300 dpi. Readable from about 85 cm.",
        "25.4 mm in print. Readable from about 25 cm.",
    ]
    assert download.value.suggested_filename == f"qr-{code['code']}.svg"
    assert copied == ["image/png"]
    assert page.url.endswith("#location")
    assert page.evaluate("typeof hacked") == "undefined"
    assert wrong == [], "\n".join(wrong)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_code_is_turned_off_and_deleted(open_context: Callable[..., Any], game: Game) -> None:
    code = game.code()
    context = open_context()
    sign_in(context, game.owner["username"])
    page = context.new_page()
    page.goto(f"/o/{game.organization['slug']}/codes/{code['id']}")
    page.get_by_role("button", name="Turn off").click()
    page.get_by_role("button", name="Turn on").wait_for()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/codes")

    listed = game.api.ask("GET", f"/api/organizations/{game.org_id}/qr-codes", game.owner["access_token"])
    assert listed["items"] == []
