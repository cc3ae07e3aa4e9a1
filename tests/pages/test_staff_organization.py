"""Members, invitations, API keys, the audit log and settings, as their visitors see and use them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from shared.audit import store as audit
from shared.infra.db import Conn
from shared.organizations import store
from tests.conftest import PASSWORD
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.pages.rendered_pages import Open, page_opener
from tests.security.source import CHECKOUT
from tests.support.browser_sessions import BROWSER, SAME, browser_of
from tests.support.callers import Staff, give_password
from web.pages.audit_log import ACTIONS

MARKUP = '"><script>hacked = 1</script><img src=x onerror="hacked = 2">\''


@pytest.fixture
def open_page(app: Flask, conn: Conn, staff: Staff) -> Open:
    return page_opener(app, conn, staff)


@pytest.mark.parametrize(
    ("role", "controls"),
    [
        ("member", {"data-leave"}),
        ("analyst", {"data-leave"}),
        ("admin", {"data-leave", "invite"}),
        ("owner", {"data-leave", "data-role", "data-remove", "invite"}),
    ],
)
def test_members_see_only_what_they_may_do(open_page: Open, role: str, controls: set[str]) -> None:
    html = open_page("/members", role)

    shown = {name for name in ("data-leave", "data-role", "data-remove") if f" {name}" in html}
    assert shown | ({"invite"} if 'id="invite-form"' in html else set()) == controls


def test_the_last_owner_cannot_leave_or_change(open_page: Open, conn: Conn, staff: Staff) -> None:
    row = r'data-player="%s".*?</tr>'

    (last,) = re.findall(row % staff.owner.id, open_page("/members", "owner"), re.DOTALL)
    conn.execute("UPDATE memberships SET role = 'owner' WHERE player_id = %s", (staff.admin.id,))
    (one_of_two,) = re.findall(row % staff.owner.id, open_page("/members", "owner"), re.DOTALL)

    assert (last.count(" disabled"), one_of_two.count(" disabled")) == (2, 0)


def test_admins_offer_only_lower_roles(open_page: Open) -> None:
    def offered(role: str) -> list[str]:
        form = open_page("/members", role).partition('id="invite-form"')[2]
        return re.findall(r'<option value="(\w+)">', form.partition('name="role"')[2].partition("</select>")[0])

    assert offered("admin") == ["member", "analyst"]
    assert offered("owner") == ["member", "analyst", "admin", "owner"]


def test_audit_log_says_what_changed(client: Any, open_page: Open, staff: Staff) -> None:
    body = {"scan_type": "item_drop", "code": "spy123", "reward": {"item": "coin", "quantity": 1}, "radius_m": 50}
    code = client.post(staff.codes, json=body, headers=staff.admin.headers).json
    changes = {"radius_m": 80, "tags": ["east", "quay"], "reward": {"item": "spy_gadget", "quantity": 2}}
    client.patch(f"{staff.codes}/{code['id']}", json=changes, headers=staff.admin.headers)
    client.patch(f"{staff.path}/members/{staff.member.id}", json={"role": "analyst"}, headers=staff.owner.headers)
    client.post(f"{staff.path}/api-keys", json={"name": MARKUP, "scopes": ["scan"]}, headers=staff.admin.headers)

    html = open_page("/audit-log", "admin")
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())

    assert "changed spy123" in text
    assert "Radius in meters 50 → to 80" in text
    assert "Tags none → to east, quay" in text
    assert "Reward 1 coin → to 2 spy gadget" in text
    assert "changed the role of" in text
    assert "created the API key &#34;&gt;&lt;script&gt;" in text
    only_keys = open_page("/audit-log?action=key.created", "admin")
    assert "created the API key" in only_keys
    assert "changed spy123" not in only_keys
    of_admin = open_page(f"/audit-log?actor={staff.owner.id}", "admin")
    assert "changed the role of" in of_admin
    assert "created the API key" not in of_admin


def test_each_action_of_the_source_is_a_sentence(app: Flask, conn: Conn, staff: Staff, open_page: Open) -> None:
    """Actions on accounts, sessions and files are in no organization's log. An erased organization has no page."""
    source = "".join(
        file.read_text() for part in ("web", "shared", "workers") for file in (CHECKOUT / part).rglob("*.py")
    )
    recorded = set(re.findall(r'record(?:_change|_outcome)?\(\s*conn,\s*(?:\w+,\s*)?"(\w+\.\w+)"', source))
    elsewhere = {action for action in recorded if action.startswith(("account.", "password.", "session."))}
    assert len(recorded) > 30
    assert recorded - elsewhere - {"organization.erased", "files.adopted"} <= set(ACTIONS)

    for action in ACTIONS:
        audit.record(conn, audit.Actor("operator"), action, org_id=staff.org_id, object_id=staff.member.id)
    html = open_page("/audit-log")

    assert " · An operator" not in html, "an action has no sentence"
    assert all(re.search(f'<option value="{action}">[A-Z]', html) for action in ACTIONS)


def test_malformed_filter_is_refused(app: Flask, conn: Conn, staff: Staff) -> None:
    slug = store.get_slug(conn, staff.org_id)

    response = browser_of(app, staff.admin).get(f"/o/{slug}/audit-log?actor=none", headers=BROWSER)

    assert (response.status_code, response.mimetype) == (422, "text/html")


def test_closed_organization_offers_only_to_restore_it(open_page: Open, conn: Conn, staff: Staff) -> None:
    conn.execute("UPDATE organizations SET closed_at = now() WHERE id = %s", (staff.org_id,))

    html = open_page("/settings", "owner")

    assert 'id="restore"' in html
    assert 'id="close"' not in html
    assert "<form" not in html


def test_invitation_is_a_page_for_browsers_and_json_for_clients(client: Any, staff: Staff) -> None:
    url = client.post(f"{staff.path}/invitations", json={"role": "analyst"}, headers=staff.admin.headers).json["url"]

    page, found = client.get(url, headers=BROWSER), client.get(url)
    client.delete(f"{staff.path}/invitations/{_only_invitation(client, staff)}", headers=staff.admin.headers)
    ended = client.get(url, headers=BROWSER)

    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "Sign in to accept" in page.text
    # What the role includes, and nothing above it.
    assert page.text.index("Sees the codes and the map.") < page.text.index("Also sees scans")
    assert "Also creates" not in page.text
    assert found.json["role"] == "analyst"
    assert (ended.status_code, client.get(url).status_code) == (410, 410)
    assert "This invitation is no longer valid." in ended.text
    assert client.get("/invitations/none", headers=BROWSER).status_code == 404


def _only_invitation(client: Any, staff: Staff) -> str:
    (invitation,) = client.get(f"{staff.path}/invitations", headers=staff.admin.headers).json["items"]
    return str(invitation["id"])


def test_invitation_of_a_signed_in_player_offers_to_accept(app: Flask, conn: Conn, staff: Staff, client: Any) -> None:
    give_password(conn, staff.stranger.id, PASSWORD)
    url = client.post(f"{staff.path}/invitations", json={"role": "analyst"}, headers=staff.admin.headers).json["url"]

    assert 'id="accept"' in browser_of(app, staff.stranger).get(url, headers=BROWSER).text


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_a_link_invites_a_player(open_context: Callable[..., Any], game: Game) -> None:
    player = game.api.register()
    page, base, wrong = open_as_owner(open_context, game)
    page.goto(f"{base}/members")
    page.keyboard.press("n")
    page.get_by_label("Role", exact=True).select_option("admin")
    wrong += faults_of_open_page(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator("#invite-form [type=submit]").click()
    link = page.locator("#link-text")
    link.get_by_text("/invitations/").wait_for()
    address = link.inner_text()
    assert page.locator("#link-image").evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
    page.get_by_role("button", name="Done").click()
    page.get_by_text("1 use left").wait_for()

    other = open_context(phone=True)
    sign_in(other, player["username"])
    guest = other.new_page()
    guest.goto(address)
    wrong += faults_of_open_page(guest)
    guest.get_by_role("button", name="Accept").click()
    guest.wait_for_url("**/o")

    wrong += faults_of_page(page, f"{base}/members")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_label(f"Role of {player['username']}").select_option("analyst")
    page.get_by_text("Saved").wait_for()

    assert wrong == [], "\n".join(wrong)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_keys_rules_and_the_log_of_both(open_context: Callable[..., Any], game: Game, complaints: Complaints) -> None:
    complaints.expect("422")
    page, base, wrong = open_as_owner(open_context, game)

    page.goto(f"{base}/api-keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill(MARKUP)
    page.locator("#create-form [type=submit]").click()
    page.locator("#create-form [aria-invalid=true]").first.wait_for()
    page.get_by_label("analytics").check()
    page.locator("#create-form [type=submit]").click()
    key = page.locator("#key-text").get_by_text("wm_").inner_text()
    game.api.ask("GET", f"/api/organizations/{game.org_id}/timeline", key)
    page.get_by_role("button", name="Done").click()
    page.locator("tr[data-key]").wait_for()
    wrong += faults_of_page(page, f"{base}/api-keys")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.locator("tr[data-key]").wait_for(state="detached")

    wrong += faults_of_page(page, f"{base}/settings")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_label("Keep positions of scans for days").fill("forever")
    page.locator("#positions [type=submit]").click()
    page.locator("#positions [aria-invalid=true]").wait_for()
    page.get_by_label("Late scans").check()
    page.get_by_role("button", name="Save rules").click()
    page.get_by_text("Saved").wait_for()
    stored = game.api.ask("GET", f"/api/organizations/{game.org_id}", game.owner["access_token"])
    assert stored["fair_play"]["late"] == {"after_seconds": 86_400}

    wrong += faults_of_page(page, f"{base}/audit-log")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_label("Action").select_option("key.revoked")
    page.locator("#rows li").filter(has_text="revoked the API key").wait_for()
    page.locator("#rows li").filter(has_text="changed the settings").wait_for(state="detached")
    assert "action=key.revoked" in page.url

    assert page.evaluate("typeof hacked") == "undefined"
    assert wrong == [], "\n".join(wrong)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_ended_session_is_continued_without_losing_the_form(
    open_context: Callable[..., Any], game: Game, complaints: Complaints
) -> None:
    complaints.expect("401")
    context = open_context()
    sign_in(context, game.owner["username"])
    page = context.new_page()
    page.goto(f"/o/{game.organization['slug']}/settings")
    page.get_by_label("Website (optional)").fill("https://museum.example")
    assert context.request.delete("/session", headers=SAME).status == 204

    page.locator("#general [type=submit]").click()
    page.get_by_text("You've been signed out.").wait_for()
    page.get_by_label("Username").fill(game.owner["username"])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/settings")

    page.get_by_text("You've been signed out.").wait_for(state="detached")
    path = f"/api/organizations/{game.org_id}"
    page.locator("#url[value='https://museum.example']").wait_for()
    page.locator(".toast", has_text="Saved").wait_for()
    assert game.api.ask("GET", path, game.owner["access_token"])["url"] == "https://museum.example"

    page.goto(f"/o/{game.organization['slug']}/audit-log")
    assert context.request.delete("/session", headers=SAME).status == 204
    page.get_by_label("Action").select_option("organization.changed")
    page.get_by_label("Username").fill(game.owner["username"])
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator(".entry", has_text="changed the settings").wait_for()
    page.locator(".entry", has_text="created the organization").wait_for(state="detached")


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_list_of_a_busy_server_is_loaded_again_by_itself(
    open_context: Callable[..., Any], game: Game, complaints: Complaints
) -> None:
    complaints.expect("503")
    context = open_context()
    sign_in(context, game.owner["username"])
    page = context.new_page()
    page.goto(f"/o/{game.organization['slug']}/audit-log")
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "body": ""}
    page.route("**/audit-log?action=*", lambda route: route.fulfill(**busy), times=1)

    page.get_by_label("Action").select_option("code.created")
    page.get_by_role("alert").get_by_text("Busy right now. Trying again in 1 s.").first.wait_for()
    page.get_by_text("No entries match these filters.").wait_for()

    assert page.locator(".load-failure").count() == 0


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_shortcuts_open_pages_until_they_are_turned_off(open_context: Callable[..., Any], game: Game) -> None:
    page, base, _ = open_as_owner(open_context, game)
    page.goto(f"{base}/members")
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keyboard shortcuts").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url(f"**{base}/codes")

    page.goto("/account")
    page.get_by_label("Keyboard shortcuts of single letters").uncheck()
    page.goto(f"{base}/members")
    page.keyboard.press("n")
    page.keyboard.press("?")

    assert page.get_by_role("dialog").count() == 0


def open_as_owner(open_context: Callable[..., Any], game: Game) -> tuple[Any, str, list[str]]:
    """Return a page of the owner, the path of the organization, and a list for faults."""
    context = open_context(reduced_motion="reduce")
    sign_in(context, game.owner["username"])
    return context.new_page(), f"/o/{game.organization['slug']}", []


def sign_in(context: Any, username: str) -> None:
    body = {"username": username, "password": PASSWORD}
    assert context.request.post("/session", data=body, headers=SAME).ok
