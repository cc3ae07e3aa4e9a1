"""Who may do what: every door of the app's own map, tried by everybody, with every kind of credentials, across
organizations; and what leaves a line in the audit trail."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.organizations import store as organizations
from shared.organizations.api_keys import SCOPES, ApiKey
from shared.organizations.rules import ROLES, includes_role
from tests.security.role_fixtures import BODIES, World
from tests.security.route_permissions import DOORS, ORG, Door
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
MAP = {
    f"{method} {PLACE.sub(NAMED, rule.rule)}": rule.endpoint
    for rule in create_app().url_map.iter_rules()
    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
}


def test_every_route_of_the_map_has_its_door() -> None:
    missing = sorted(MAP.keys() - DOORS.keys())
    assert not missing, f"say in tests/security/route_permissions.py who may pass: {missing}"
    assert not DOORS.keys() - MAP.keys(), "tests/security/route_permissions.py names routes that are gone"


def test_every_route_that_takes_a_body_has_one_that_succeeds() -> None:
    missing = sorted(name for name in MAP if name.startswith(("POST", "PUT", "PATCH")) and name not in BODIES)
    assert not missing, (
        f"give in tests/security/role_fixtures.py a body (or NOTHING) with which this succeeds: {missing}"
    )
    assert not BODIES.keys() - MAP.keys(), "tests/security/role_fixtures.py names routes that are gone"


LEAVING = f"DELETE {ORG}/members/{{player_id}}"
"""Any member may leave: past the gate the view asks for an owner, or for oneself."""


@pytest.mark.parametrize("name", DOORS)
def test_the_gate_is_told_what_the_contract_says(app: Flask, name: str) -> None:
    door, told = DOORS[name], requirement_of(app.view_functions[MAP[name]])

    assert told.scope == door.scope
    if told.kind != "socket" and name != LEAVING:
        assert {"public": "anybody", "role": told.role}.get(told.kind, told.kind) == door.who


class Attempt(NamedTuple):
    """A request, and the statuses of which it must get one."""

    by: str
    path: str
    headers: dict[str, str]
    expected: tuple[int, ...]
    body: dict[str, Any] | None = None  # else one that succeeds
    who: SignedInPlayer | ApiKeyCaller | None = None


def attempts(world: World, name: str, door: Door) -> Iterator[Attempt]:
    """Everybody at a door, one after the other: things are made fresh for each."""
    rule = name.split(" ")[1]
    if door.who == "anybody":
        somebody = world.person()
        for label, headers in world.bad_credentials().items():
            yield Attempt(label, world.path(rule, somebody), headers, door.passes, who=somebody)
        return
    for label, headers in world.bad_credentials().items():
        if label != "a refresh token" or door.who != "refresh":
            yield Attempt(label, world.path(rule, world.mine.owner), headers, (401,))
    yield from of_keys(world, rule, door)
    if door.who in ROLES:
        yield from of_staff(world, rule, door)
        yield from across_organizations(world, rule, door)
    else:
        yield from of_players(world, rule, door)


def of_keys(world: World, rule: str, door: Door) -> Iterator[Attempt]:
    """A key passes with the scope that the door names, and no other; where it names none no key does."""
    if door.scope is None:
        machine = world.key()
        yield Attempt("a key with every scope", world.path(rule, machine), machine.headers, (403,), who=machine)
        return
    without, machine = world.key_without(door.scope), world.key(door.scope)
    yield Attempt("a key without the scope", world.path(rule, without), without.headers, (403,), who=without)
    yield Attempt("a key with the scope", world.path(rule, machine), machine.headers, door.passes, who=machine)
    if door.others is not None:
        other = world.key()
        yield Attempt("another key", world.path(rule, machine), other.headers, (door.others,), who=other)


def of_players(world: World, rule: str, door: Door) -> Iterator[Attempt]:
    """A player's own things, and another player at them."""
    person, other = world.person(), world.person()
    if door.who == "refresh":
        yield Attempt("an access token", world.path(rule, person), person.headers, (401,))
        refreshing = {"Authorization": f"Bearer {person.refresh_token}"}
        yield Attempt("a refresh token", world.path(rule, person), refreshing, door.passes)
        return
    if "_id}" in rule:
        refused = 403 if door.who == "oneself" else 404
        nothing = {id_name: uuid4() for id_name in re.findall(r"{(\w+_id)}", rule)}
        yield Attempt("at nothing", world.path(rule, person, **nothing), person.headers, (refused,))
        nonsense = dict.fromkeys(nothing, "nonsense")
        yield Attempt("at nonsense", world.path(rule, person, **nonsense), person.headers, (404,))
    if door.who == "oneself" or door.others is not None:
        yield Attempt("another player", world.path(rule, person), other.headers, (door.others or 403,), who=other)
    yield Attempt("the player", world.path(rule, person), person.headers, door.passes, who=person)


def of_staff(world: World, rule: str, door: Door) -> Iterator[Attempt]:
    for role in ROLES:
        passes = includes_role(role, door.who)  # type: ignore[arg-type]
        person = world.mine[role]
        yield Attempt(role, world.path(rule, person), person.headers, door.passes if passes else (403,), who=person)
    stranger = world.mine.stranger
    yield Attempt("a stranger", world.path(rule, stranger), stranger.headers, (403,), who=stranger)


def across_organizations(world: World, rule: str, door: Door) -> Iterator[Attempt]:
    """What is not there, and what belongs to somebody else, with credentials that are good elsewhere."""
    owner, foreigner = world.mine.owner, world.theirs.owner
    yield Attempt("another's owner", world.path(rule, foreigner), foreigner.headers, (403,), who=foreigner)
    foreign = make_key(world.conn, world.theirs.org_id)
    yield Attempt("another's key", world.path(rule, foreign), foreign.headers, (403,), who=foreign)
    for nowhere in (uuid4(), "nonsense"):
        yield Attempt("at no organization", world.path(rule, owner, org_id=nowhere), owner.headers, (404,))
    named = [id_name for id_name in re.findall(r"{(\w+_id)}", rule) if id_name != "org_id"]
    if named:
        path = world.path(rule, foreigner, org_id=world.theirs.org_id)
        yield Attempt("another's owner at ours under theirs", path, foreigner.headers, (404,), who=foreigner)
        for nothing in (uuid4(), "nonsense"):
            path = world.path(rule, owner, **dict.fromkeys(named, nothing))
            yield Attempt("at nothing", path, owner.headers, (404,), who=owner)
        if door.scope is not None:
            path = world.path(rule, foreign, org_id=world.theirs.org_id)
            yield Attempt("another's key at ours under theirs", path, foreign.headers, (404,), who=foreign)


def lines(conn: Conn) -> int:
    row = conn.execute("SELECT count(*) FROM audit_log WHERE org_id IS NOT NULL").fetchone()
    assert row is not None
    return int(row[0])


def try_everybody(app: Flask, name: str) -> list[str]:
    """What went otherwise than the door says: who passes, who is refused; and that a change leaves a line of the trail
    and a refusal none."""
    door, client = DOORS[name], app.test_client()
    method, rule = name.split(" ")
    is_audited = method in CHANGING and rule.startswith("/api/organizations")
    wrong: list[str] = []
    with db.connection() as conn:
        world = World.make(app, conn)
        for attempt in attempts(world, name, door):
            make = BODIES.get(name)
            body = attempt.body or (make(world, attempt.who or world.mine.owner) if make else {})
            before = lines(conn)
            headers = attempt.headers | (UPGRADE if rule.startswith("/ws/") and method == "GET" else {})
            answer = client.open(attempt.path, method=method, headers=headers, **body)
            left = lines(conn) - before
            if answer.status_code not in attempt.expected:
                wrong.append(f"{attempt.by}: {answer.status_code}, not one of {attempt.expected}: {answer.text[:200]}")
            succeeded = answer.status_code < 400
            if is_audited and succeeded and (left == 0) != (door.unaudited is not None):
                wrong.append(f"{attempt.by}: {left} lines of the audit trail")
            if not succeeded and left:
                wrong.append(f"{attempt.by}: a line of the audit trail, although refused")
    return wrong


@pytest.mark.parametrize("name", DOORS)
def test_everybody_at_every_door(app: Flask, name: str) -> None:
    wrong = try_everybody(app, name)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "guard", "without", "caught"),
    [
        (auth, "includes_role", lambda *_: True, {"member", "analyst"}),
        (auth, "_require_role", lambda *_: "owner", {"member", "analyst", "a stranger", "another's owner"}),
        (api_keys, "recognize", lambda conn, _text: ANY_KEY, {"a revoked key", "an expired key"}),
        (organizations, "standing", lambda *_: (True, "owner"), {"a login that has ended"}),
        (codes, "audit", lambda *_, **__: None, {"admin", "owner", "a key with the scope"}),
    ],
)
def test_negative_control_without_a_guard_it_is_seen(
    app: Flask, monkeypatch: pytest.MonkeyPatch, module: Any, guard: str, without: Any, caught: set[str]
) -> None:
    monkeypatch.setattr(module, guard, without)

    wrong = try_everybody(app, f"POST {ORG}/qr-codes")

    assert caught <= {line.split(":")[0] for line in wrong}


@pytest.mark.parametrize("name", [name for name, make in BODIES.items() if name.split(" ")[1].startswith(ORG)])
def test_what_is_malformed_changes_nothing_and_leaves_no_line(app: Flask, name: str) -> None:
    method, rule = name.split(" ")
    with db.connection() as conn:
        world = World.make(app, conn)
        if not BODIES[name](world, world.mine.owner):
            return
        path, before = world.path(rule, world.mine.owner), lines(conn)
        answer = app.test_client().open(path, method=method, headers=world.mine.owner.headers, json={"nonsense": 1})
        assert answer.status_code in (415, 422)
        assert lines(conn) == before


@pytest.mark.parametrize("role", ["member", "analyst", "admin"])
def test_leaving_is_any_members(app: Flask, role: str) -> None:
    with db.connection() as conn:
        world = World.make(app, conn)
        person = world.mine[role]
        path = f"{world.mine.path}/members/{person.id}"
        assert app.test_client().delete(path, headers=person.headers).status_code == 204
        add_member(conn, world.mine.org_id, person.id, role)
