"""Who may do what: every route of an organization, for each role, for strangers, and across organizations."""

from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from flask import Flask

from shared.db import Conn
from shared.imports import store as imports
from shared.organizations.rules import ROLES, Role, at_least
from tests.build import make_code, make_held
from tests.people import Staff, make_staff, sign_in
from tests.renders.making import make_render


class Route(NamedTuple):
    method: str
    path: str
    needed: Role
    body: dict[str, Any] | None = None


ROUTES = [
    Route("GET", "", "member"),
    Route("PATCH", "", "owner", {"name": "Gallery"}),
    Route("GET", "/members", "member"),
    Route("POST", "/members", "owner", {"username": "grace", "role": "member"}),
    Route("PATCH", "/members/{player_id}", "owner", {"role": "analyst"}),
    Route("DELETE", "/members/{player_id}", "owner"),
    Route("GET", "/qr-codes", "member"),
    Route("POST", "/qr-codes", "admin", {"scan_type": "item_drop"}),
    Route("POST", "/qr-codes/bulk", "admin", {"codes": [{"scan_type": "item_drop"}]}),
    Route("GET", "/qr-codes/export", "analyst"),
    Route("GET", "/imports/{import_id}", "admin"),
    Route("GET", "/qr-codes/{qr_id}", "member"),
    Route("PATCH", "/qr-codes/{qr_id}", "admin", {"active": False}),
    Route("DELETE", "/qr-codes/{qr_id}", "admin"),
    Route("GET", "/qr-codes/{qr_id}/image", "member"),
    Route("GET", "/qr-business/image", "member"),
    Route("GET", "/qr-codes/{qr_id}/customization", "member"),
    Route("PUT", "/qr-codes/{qr_id}/customization", "admin", {"style": "dots"}),
    Route("DELETE", "/qr-codes/{qr_id}/customization", "admin"),
    Route("DELETE", "/qr-codes/{qr_id}/customization/logo", "admin"),
    Route("POST", "/renders", "admin", {"all": True}),
    Route("GET", "/renders", "admin"),
    Route("GET", "/renders/{render_id}", "admin"),
    Route("GET", "/renders/{render_id}/download", "admin"),
    Route("DELETE", "/renders/{render_id}", "admin"),
    Route("GET", "/stats", "analyst"),
    Route("GET", "/timeline", "analyst"),
    Route("GET", "/timeline.csv", "analyst"),
    Route("GET", "/qr-codes/{qr_id}/stats", "analyst"),
    Route("GET", "/qr-codes/{qr_id}/timeline", "analyst"),
    Route("GET", "/qr-codes/{qr_id}/timeline.csv", "analyst"),
    Route("GET", "/scans", "admin"),
    Route("POST", "/scans/{scan_id}/release", "admin"),
    Route("POST", "/scans/{scan_id}/annul", "admin"),
    Route("GET", "/scans/{scan_id}/explain", "admin"),
    Route("POST", "/scans/simulate", "admin", {"player_id": "{player_id}", "qr_code": "spy123"}),
]
WITH_OBJECT = [route for route in ROUTES if "{" in route.path]


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def call(client: Any, route: Route, path: str, ids: dict[str, object], headers: dict[str, str] | None) -> int:
    url = path + route.path.format(**ids)
    body = route.body
    if body and "player_id" in body:
        body = body | {"player_id": body["player_id"].format(**ids)}
    return int(client.open(url, method=route.method, json=body, headers=headers).status_code)


@pytest.fixture
def ids(app: Flask, conn: Conn, staff: Staff) -> dict[str, object]:
    """A member whom nobody else is, a code, a render that is done, and a scan that is held, of the organization."""
    grace = sign_in(app, conn, "grace")
    other = sign_in(app, conn)
    conn.execute(
        "INSERT INTO memberships (org_id, player_id, role) VALUES (%s, %s, 'member')", (staff.org_id, other.id)
    )
    assert grace.id != other.id
    code = make_code(conn, staff.org_id)
    return {
        "player_id": other.id,
        "qr_id": code,
        "import_id": imports.begin(conn, staff.org_id, partial=False).id,
        "render_id": make_render(conn, staff.org_id, code),
        "scan_id": make_held(conn, other.id, code),
    }


@pytest.mark.parametrize("route", ROUTES, ids=name)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_includes(
    client: Any, staff: Staff, ids: dict[str, object], route: Route, role: Role
) -> None:
    status = call(client, route, staff.path, ids, staff[role].headers)

    assert status in ((200, 201, 202, 204) if at_least(role, route.needed) else (403,))


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_strangers_may_nothing(client: Any, staff: Staff, ids: dict[str, object], route: Route) -> None:
    assert call(client, route, staff.path, ids, staff.stranger.headers) == 403
    assert call(client, route, staff.path, ids, None) == 401


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_an_organization_that_is_not_there(client: Any, staff: Staff, ids: dict[str, object], route: Route) -> None:
    assert call(client, route, f"/api/organizations/{uuid4()}", ids, staff.owner.headers) == 404


@pytest.mark.parametrize("route", WITH_OBJECT, ids=name)
def test_what_belongs_to_another_organization_is_not_there(
    app: Flask, client: Any, conn: Conn, staff: Staff, ids: dict[str, object], route: Route
) -> None:
    """Given the owner of another organization, its objects' ids under their own organization's path."""
    mine = make_staff(app, conn)

    assert call(client, route, mine.path, ids, mine.owner.headers) == 404
    assert call(client, route, staff.path, ids, mine.owner.headers) == 403


@pytest.mark.parametrize("route", WITH_OBJECT, ids=name)
def test_an_object_that_is_not_there(client: Any, staff: Staff, route: Route) -> None:
    names = ("player_id", "qr_id", "import_id", "render_id", "scan_id")
    nothing: dict[str, object] = {name: uuid4() for name in names}

    assert call(client, route, staff.path, nothing, staff.owner.headers) == 404
