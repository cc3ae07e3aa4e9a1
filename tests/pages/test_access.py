"""Every page: who may open it, and where other visitors get to. The role matrix covers the routes of the API."""

import re
from typing import Any

import psycopg
import pytest

from shared.accounts import store as accounts
from shared.infra.db import Conn
from shared.organizations import store as organizations
from shared.organizations.rules import ROLES, includes_role
from tests.support.browser_sessions import BROWSER, SAME, browser_of
from tests.support.callers import Staff
from tests.support.factories import code_text, make_code
from web.app import create_app
from web.http.auth import requirement_of
from web.pages.layout import REVALIDATED

PAGES: dict[str, str] = {
    "/": "anyone",
    "/about": "anyone",
    "/about/components": "anyone",
    "/account": "signed in",
    "/b/{slug}": "anyone",
    "/continue": "anyone",
    "/create-account": "anyone",
    "/o": "signed in",
    "/invitations/{token}": "anyone",
    "/o/{slug}": "member",
    "/o/{slug}/analytics": "analyst",
    "/o/{slug}/codes": "member",
    "/o/{slug}/codes/import": "admin",
    "/o/{slug}/codes/new": "admin",
    "/o/{slug}/codes/{code_id}": "member",
    "/o/{slug}/codes/{code_id}/design": "admin",
    "/o/{slug}/codes/{code_id}/edit": "admin",
    "/o/{slug}/design": "admin",
    "/o/{slug}/codes/imports/{import_id}": "admin",
    "/o/{slug}/live": "analyst",
    "/o/{slug}/map": "member",
    "/o/{slug}/api-keys": "admin",
    "/o/{slug}/audit-log": "admin",
    "/o/{slug}/members": "member",
    "/o/{slug}/settings": "owner",
    "/o/{slug}/counter": "admin",
    "/o/{slug}/progress": "analyst",
    "/o/{slug}/redemptions": "admin",
    "/o/{slug}/reviews": "admin",
    "/o/{slug}/reviews/{scan_id}": "admin",
    "/o/{slug}/scans": "analyst",
    "/o/{slug}/scans/{scan_id}": "analyst",
    "/o/{slug}/place": "admin",
    "/o/{slug}/quests": "admin",
    "/o/{slug}/quests/new": "admin",
    "/o/{slug}/quests/{name}": "admin",
    "/o/{slug}/renders": "admin",
    "/o/{slug}/renders/new": "admin",
    "/o/{slug}/renders/{render_id}": "admin",
    "/o/{slug}/screens": "admin",
    "/o/{slug}/simulator": "admin",
    "/play": "anyone",
    "/play/history": "anyone",
    "/play/inventory": "anyone",
    "/play/puzzle/{scan_id}": "anyone",
    "/play/quests": "anyone",
    "/play/redeem/{item}": "anyone",
    "/play/result/{nonce}": "anyone",
    "/play/scan": "anyone",
    "/s/{code}": "anyone",
    "/screen/{token}": "anyone",
    "/sign-in": "anyone",
}
MISSING = {"/b/{slug}", "/invitations/{token}", "/s/{code}", "/screen/{token}"}
"""Pages of things that do not exist here."""


def view_of(app: Any, path: str) -> Any:
    """Return the view of a path such as /o/{slug}."""
    for rule in app.url_map.iter_rules():
        if re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) == path:
            return app.view_functions[rule.endpoint]
    raise LookupError(path)


def test_every_page_is_listed() -> None:
    app = create_app()
    rules = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule): rule.endpoint for rule in app.url_map.iter_rules()}
    pages = {path for path, name in rules.items() if requirement_of(app.view_functions[name]).is_page}
    assert pages == PAGES.keys()


@pytest.fixture
def signed_in(app: Any, clean: None) -> Any:
    client = app.test_client()
    body = {"username": "ada", "password": "correct horse battery"}
    assert client.post("/session/register", json=body, headers=SAME).status_code == 201
    return client


@pytest.mark.parametrize("path", [path for path in PAGES if PAGES[path] not in ROLES])
def test_page_is_for_exactly_these_visitors(client: Any, signed_in: Any, path: str) -> None:
    opened = re.sub(r"{\w+}", "none", path)

    visitor, player = client.get(opened, headers=BROWSER), signed_in.get(opened, headers=BROWSER)
    with_header = signed_in.get(opened, headers=BROWSER | {"Authorization": "Bearer x"})

    expected = 404 if path in MISSING else 200
    if PAGES[path] == "signed in":
        assert (visitor.status_code, visitor.headers["Location"]) == (303, f"/sign-in?next={opened}")
        assert with_header.status_code == 303, "pages take the cookie only"
    else:
        assert visitor.status_code == expected
        assert with_header.status_code == expected
    assert player.status_code in (expected, 303)
    for response in (visitor, player):
        if response.status_code != 303:
            assert response.content_type == "text/html; charset=utf-8"
            assert "require-trusted-types-for 'script'" in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] in ("no-store", REVALIDATED)
            assert response.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("path", [path for path in PAGES if PAGES[path] in ROLES])
def test_page_of_an_organization_is_for_its_roles(app: Any, client: Any, conn: Conn, staff: Staff, path: str) -> None:
    """Below its role, and for strangers, a page answers as one of an organization that does not exist."""
    slug = organizations.get_slug(conn, staff.org_id)
    # An id of something that does not exist is a 404 for every role, so the requirement itself is tested.
    opened = path.replace("{slug}", slug)
    role = requirement_of(view_of(app, path)).role

    assert role == PAGES[path]
    if "{" in opened:
        return
    statuses = {
        name: browser_of(app, staff[name]).get(opened, headers=BROWSER).status_code for name in (*ROLES, "stranger")
    }
    expected = {name: 200 if name in ROLES and includes_role(name, role) else 404 for name in statuses}
    assert statuses == expected | ({"member": 303} if path == "/o/{slug}" else {}), "members get to the codes"
    visitor = client.get(opened, headers=BROWSER)
    assert (visitor.status_code, visitor.headers["Location"]) == (303, f"/sign-in?next={opened}")
    elsewhere = browser_of(app, staff.owner).get(path.replace("{slug}", "no-such-organization"), headers=BROWSER)
    assert elsewhere.status_code == 404


def test_missing_page_knows_who_is_signed_in(app: Any, client: Any, conn: Conn, staff: Staff) -> None:
    """The path of a page needs a session, so its 404 page has one. A path without a route asks for none."""
    stranger = accounts.get_account(conn, staff.stranger.id)
    assert stranger is not None
    name = stranger.username
    paths = (f"/o/{organizations.get_slug(conn, staff.org_id)}", "/o/no-such-organization", "/no-such-path")
    shown = [browser_of(app, staff.stranger).get(path, headers=BROWSER) for path in paths]

    assert [page.status_code for page in shown] == [404] * 3
    assert [name in page.text for page in shown] == [True, True, False]
    assert ["your account has no access" in page.text for page in shown] == [True, True, False]
    assert all("/sign-in" not in page.text for page in shown)
    assert "you need to sign in" in client.get("/no-such-path", headers=BROWSER).text


def test_page_of_a_closed_organization_is_410(app: Any, conn: Conn, staff: Staff) -> None:
    conn.execute("UPDATE organizations SET closed_at = now() WHERE id = %s", (staff.org_id,))
    slug = organizations.get_slug(conn, staff.org_id)

    assert browser_of(app, staff.owner).get(f"/o/{slug}", headers=BROWSER).status_code == 410


def test_page_of_a_printed_code_may_ask_for_the_location(client: Any, conn: Conn) -> None:
    code = code_text(conn, make_code(conn, description="Dam Square"))

    response = client.get(f"/s/{code}", headers=BROWSER)

    assert "geolocation=(self)" in response.headers["Permissions-Policy"]
    assert "geolocation=()" in client.get("/sign-in", headers=BROWSER).headers["Permissions-Policy"]
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert {"Cookie", "Accept-Language"} <= set(response.vary)


def test_unknown_path_is_a_page_for_browsers(client: Any) -> None:
    response = client.get("/nowhere", headers=BROWSER)

    assert (response.status_code, response.content_type) == (404, "text/html; charset=utf-8")
    assert response.headers["X-Request-ID"] in response.text
    assert client.get("/nowhere").content_type == "application/problem+json"


def test_page_of_an_unavailable_database_needs_no_database(signed_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("unavailable")

    monkeypatch.setattr(organizations, "list_for_player", fail)
    monkeypatch.setattr(accounts, "get_account", fail)

    response = signed_in.get("/o", headers=BROWSER)

    assert (response.status_code, response.content_type) == (503, "text/html; charset=utf-8")
    assert response.headers["Retry-After"]
    assert "Busy right now" in response.text
