"""The role matrix: every route of the URL map, requested by every kind of caller, across organizations. Changes add an
entry to the audit log, and refused requests add none."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys, members
from shared.organizations.api_keys import SCOPES, ApiKey
from shared.organizations.rules import ROLES, includes_role
from tests.security.role_fixtures import BODIES, NOTHING, World
from tests.security.route_permissions import ORG, PERMISSIONS, Permission
from tests.support.callers import ApiKeyCaller, SignedInPlayer, add_member, make_key
from web.api import codes
from web.app import create_app
from web.http import auth
from web.http.auth import requirement_of

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
ANY_KEY = ApiKey(uuid4(), uuid4(), SCOPES, "wm_000000000000")
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
NAMED = r"{\1}"
PLACE = re.compile(r"<(?:[^:>]+:)?([^>]+)>")
APP = create_app()
MAP = {
    f"{method} {PLACE.sub(NAMED, rule.rule)}": rule.endpoint
    for rule in APP.url_map.iter_rules()
    if rule.endpoint != "assets.get_asset"
    and not (needed := requirement_of(APP.view_functions[rule.endpoint])).is_page
    and not needed.browser_only
    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
}


def test_every_route_has_permissions() -> None:
    missing = sorted(MAP.keys() - PERMISSIONS.keys())
    assert not missing, f"add to tests/security/route_permissions.py: {missing}"
    assert not PERMISSIONS.keys() - MAP.keys(), "tests/security/route_permissions.py names routes that do not exist"


def test_every_route_with_a_body_has_a_valid_example() -> None:
    missing = sorted(name for name in MAP if name.startswith(("POST", "PUT", "PATCH")) and name not in BODIES)
    assert not missing, f"add to tests/security/role_fixtures.py a body that succeeds, or NOTHING: {missing}"
    assert not BODIES.keys() - MAP.keys(), "tests/security/role_fixtures.py names routes that do not exist"


LEAVING = f"DELETE {ORG}/members/{{player_id}}"
"""Any member may leave, so the view itself requires an owner or the member."""


@pytest.mark.parametrize("name", PERMISSIONS)
def test_view_requires_what_the_contract_says(app: Flask, name: str) -> None:
    permission, requirement = PERMISSIONS[name], requirement_of(app.view_functions[MAP[name]])

    assert requirement.scope == permission.scope
    if requirement.kind != "socket" and name != LEAVING:
        assert {"oneself": "self", "role": requirement.role}.get(requirement.kind, requirement.kind) == permission.who


class Attempt(NamedTuple):
    """A request, and the statuses that are right for it."""

    by: str
    path: str
    headers: dict[str, str]
    expected: tuple[int, ...]
    body: dict[str, Any] | None = None  # None: one that succeeds
    who: SignedInPlayer | ApiKeyCaller | None = None


def attempts(world: World, name: str, permission: Permission) -> Iterator[Attempt]:
    """Every kind of caller at a route. Each gets objects of its own."""
    rule = name.split(" ")[1]
    if permission.who == "public":
        player = world.person()
        for label, headers in world.bad_credentials().items():
            yield Attempt(label, world.path(rule, player), headers, permission.passes, who=player)
        return
    for label, headers in world.bad_credentials().items():
        if label != "a refresh token" or permission.who != "refresh":
            yield Attempt(label, world.path(rule, world.mine.owner), headers, (401,))
    yield from of_keys(world, rule, permission)
    if permission.who in ROLES:
        yield from of_staff(world, rule, permission)
        yield from across_organizations(world, rule, permission)
    else:
        yield from of_players(world, rule, permission)


def of_keys(world: World, rule: str, permission: Permission) -> Iterator[Attempt]:
    """A key passes with the scope of the route only. A route without a scope accepts no key."""
    if permission.scope is None:
        machine = world.key()
        yield Attempt("a key with every scope", world.path(rule, machine), machine.headers, (403,), who=machine)
        return
    without, machine = world.key_without(permission.scope), world.key(permission.scope)
    yield Attempt("a key without the scope", world.path(rule, without), without.headers, (403,), who=without)
    yield Attempt("a key with the scope", world.path(rule, machine), machine.headers, permission.passes, who=machine)
    if permission.others is not None:
        other = world.key()
        yield Attempt("another key", world.path(rule, machine), other.headers, (permission.others,), who=other)


def of_players(world: World, rule: str, permission: Permission) -> Iterator[Attempt]:
    """A player at their own objects, and another player at the same ones."""
    person, other = world.person(), world.person()
    if permission.who == "refresh":
        yield Attempt("an access token", world.path(rule, person), person.headers, (401,))
        refreshing = {"Authorization": f"Bearer {person.refresh_token}"}
        yield Attempt("a refresh token", world.path(rule, person), refreshing, permission.passes)
        return
    if "_id}" in rule:
        refused = 403 if permission.who == "self" else 404
        nothing = {id_name: uuid4() for id_name in re.findall(r"{(\w+_id)}", rule)}
        yield Attempt("at nothing", world.path(rule, person, **nothing), person.headers, (refused,))
        nonsense = dict.fromkeys(nothing, "nonsense")
        yield Attempt("at nonsense", world.path(rule, person, **nonsense), person.headers, (404,))
    if permission.who == "self" or permission.others is not None:
        yield Attempt("another player", world.path(rule, person), other.headers, (permission.others or 403,), who=other)
    yield Attempt("the player", world.path(rule, person), person.headers, permission.passes, who=person)


def of_staff(world: World, rule: str, permission: Permission) -> Iterator[Attempt]:
    for role in ROLES:
        passes = includes_role(role, permission.who)  # type: ignore[arg-type]
        person = world.mine[role]
        yield Attempt(
            role, world.path(rule, person), person.headers, permission.passes if passes else (403,), who=person
        )
    stranger = world.mine.stranger
    yield Attempt("a stranger", world.path(rule, stranger), stranger.headers, (403,), who=stranger)


def across_organizations(world: World, rule: str, permission: Permission) -> Iterator[Attempt]:
    """Objects that do not exist or belong to another organization, with credentials that are valid elsewhere."""
    owner, other_owner = world.mine.owner, world.other.owner
    yield Attempt(
        "another organization's owner", world.path(rule, other_owner), other_owner.headers, (403,), who=other_owner
    )
    foreign = make_key(world.conn, world.other.org_id)
    yield Attempt("another organization's key", world.path(rule, foreign), foreign.headers, (403,), who=foreign)
    for nowhere in (uuid4(), "nonsense"):
        yield Attempt("at no organization", world.path(rule, owner, org_id=nowhere), owner.headers, (404,))
    named = [id_name for id_name in re.findall(r"{(\w+_id)}", rule) if id_name != "org_id"]
    if named:
        path = world.path(rule, other_owner, org_id=world.other.org_id)
        yield Attempt(
            "another organization's owner under its own path", path, other_owner.headers, (404,), who=other_owner
        )
        for nothing in (uuid4(), "nonsense"):
            path = world.path(rule, owner, **dict.fromkeys(named, nothing))
            yield Attempt("at nothing", path, owner.headers, (404,), who=owner)
        if permission.scope is not None:
            path = world.path(rule, foreign, org_id=world.other.org_id)
            yield Attempt("another organization's key under its own path", path, foreign.headers, (404,), who=foreign)


def audit_entries(conn: Conn) -> int:
    row = conn.execute("SELECT count(*) FROM audit_log WHERE org_id IS NOT NULL").fetchone()
    assert row is not None
    return int(row[0])


def try_every_caller(app: Flask, name: str) -> list[str]:
    """Send every attempt at a route. Return what differs from its permissions, and what the audit log lacks or has too
    much."""
    permission, client = PERMISSIONS[name], app.test_client()
    method, rule = name.split(" ")
    is_audited = method in CHANGING and rule.startswith("/api/organizations")
    wrong: list[str] = []
    with db.connection() as conn:
        world = World.make(app, conn)
        for attempt in attempts(world, name, permission):
            make = BODIES.get(name)
            body = attempt.body or (make(world, attempt.who or world.mine.owner) if make else {})
            before = audit_entries(conn)
            headers = attempt.headers | (UPGRADE if rule.startswith("/ws/") and method == "GET" else {})
            response = client.open(attempt.path, method=method, headers=headers, **body)
            added = audit_entries(conn) - before
            if response.status_code not in attempt.expected:
                wrong.append(
                    f"{attempt.by}: {response.status_code}, not one of {attempt.expected}: {response.text[:200]}"
                )
            succeeded = response.status_code < 400
            if is_audited and succeeded and (added == 0) != (permission.unaudited is not None):
                wrong.append(f"{attempt.by}: {added} entries in the audit log")
            if not succeeded and added:
                wrong.append(f"{attempt.by}: an entry in the audit log, although refused")
    return wrong


@pytest.mark.parametrize("name", PERMISSIONS)
def test_route_lets_exactly_the_permitted_callers_pass(app: Flask, name: str) -> None:
    wrong = try_every_caller(app, name)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "guard", "without", "caught"),
    [
        (auth, "includes_role", lambda *_: True, {"member", "analyst"}),
        (
            auth,
            "_require_role",
            lambda *_: "owner",
            {"member", "analyst", "a stranger", "another organization's owner"},
        ),
        (api_keys, "authenticate", lambda conn, _text: ANY_KEY, {"a revoked key", "an expired key"}),
        (members, "get_session_and_role", lambda *_: (True, False, "owner", False), {"a revoked session"}),
        (codes, "record", lambda *_, **__: None, {"admin", "owner", "a key with the scope"}),
    ],
)
def test_missing_guard_is_reported(
    app: Flask, monkeypatch: pytest.MonkeyPatch, module: Any, guard: str, without: Any, caught: set[str]
) -> None:
    monkeypatch.setattr(module, guard, without)

    wrong = try_every_caller(app, f"POST {ORG}/qr-codes")

    assert caught <= {report.split(":")[0] for report in wrong}


@pytest.mark.parametrize(
    "name", [name for name, make in BODIES.items() if name.split(" ")[1].startswith(ORG) and make is not NOTHING]
)
def test_malformed_body_adds_no_audit_entry(app: Flask, name: str) -> None:
    method, rule = name.split(" ")
    with db.connection() as conn:
        world = World.make(app, conn)
        path, before = world.path(rule, world.mine.owner), audit_entries(conn)
        response = app.test_client().open(path, method=method, headers=world.mine.owner.headers, json={"nonsense": 1})
        assert response.status_code in (415, 422)
        assert audit_entries(conn) == before


@pytest.mark.parametrize("role", ["member", "analyst", "admin"])
def test_any_member_may_leave(app: Flask, role: str) -> None:
    with db.connection() as conn:
        world = World.make(app, conn)
        person = world.mine[role]
        path = f"{world.mine.path}/members/{person.id}"
        assert app.test_client().delete(path, headers=person.headers).status_code == 204
        add_member(conn, world.mine.org_id, person.id, role)
