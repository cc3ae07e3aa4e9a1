"""Attacks with API keys: of another organization, beyond their scope, ended, guessed, and read out of a backup."""

import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.organizations.api_keys import SCOPES, ApiKey, Scope, authenticate
from tests.security.attack import Attack, Attempt, Scene, replaced, requiring, without_condition
from tests.support.callers import make_key
from tests.support.database import table_names
from tests.support.factories import submit_scan
from web.api import scans
from web.http import auth, idempotency
from web.http.auth import Requirement


def asking(path: str, *scopes: Scope, of: Callable[[Scene], UUID]) -> Attempt:
    """A key asks for something of the first organization."""

    def attempt(scene: Scene) -> bool:
        machine = make_key(scene.conn, of(scene), *scopes)
        answer = scene.client.get(scene.victim.path + path, headers=machine.headers)
        return bool(answer.status_code == 200)

    return attempt


def ours(scene: Scene) -> UUID:
    return scene.attacker.org_id


def theirs(scene: Scene) -> UUID:
    return scene.victim.org_id


def revoked(scene: Scene) -> bool:
    machine = make_key(scene.conn, scene.victim.org_id)
    assert scene.lets("DELETE", f"{scene.victim.path}/api-keys/{machine.id}", scene.victim.admin)
    return bool(scene.client.get(scene.victim.codes, headers=machine.headers).status_code == 200)


def expired(scene: Scene) -> bool:
    machine = make_key(scene.conn, scene.victim.org_id)
    at = machine.stored.created_at - timedelta(days=1)
    scene.conn.execute("UPDATE api_keys SET created_at = %s, expires_at = %s", (at, at + timedelta(hours=1)))
    return bool(scene.client.get(scene.victim.codes, headers=machine.headers).status_code == 200)


def guessed(scene: Scene) -> bool:
    """The prefix is shown to staff; the rest is made up."""
    machine = make_key(scene.conn, scene.victim.org_id)
    header = {"Authorization": f"Bearer {machine.stored.prefix}_{'0' * 64}"}
    return bool(scene.client.get(scene.victim.codes, headers=header).status_code == 200)


def anothers_scan(scene: Scene) -> bool:
    """A key may read the scans that it submitted, and no others."""
    scan = submit_scan(scene.conn, scene.victim.owner.id, scene.their_code())
    machine = make_key(scene.conn, scene.attacker.org_id, "scan")
    return bool(scene.client.get(f"/scan/{scan}", headers=machine.headers).status_code == 200)


def read_from_a_backup(scene: Scene) -> bool:
    """Whether any table holds a key, or what would do as one; also where its making may be repeated."""
    body = {"name": "Kiosk", "scopes": ["scan"]}
    made = scene.ask("POST", f"{scene.victim.path}/api-keys", scene.victim.admin, body, Idempotency_Key="k").json
    secret = made["key"].rpartition("_")[2]
    needles = [secret, made["key"].encode().hex()]  # as text, and as PostgreSQL shows bytes
    rows = [
        str(row) for table in table_names(scene.conn) for row in scene.conn.execute(f"SELECT t::text FROM {table} t")
    ]
    assert any(made["prefix"] in row for row in rows)
    return any(needle in row for needle in needles for row in rows)


def authenticate_with_all_scopes(conn: Conn, text: str) -> ApiKey:
    return replace(authenticate(conn, text), scopes=SCOPES)


ATTACKS = [
    Attack(
        "API key of another organization",
        asking("/qr-codes", of=ours),
        replaced(auth, "path_ids", dict),
    ),
    Attack(
        "API key without the scope",
        asking("/qr-codes", "scan", of=theirs),
        replaced(api_keys, "authenticate", authenticate_with_all_scopes),
    ),
    Attack(
        "API key on a route for people",
        asking("/members", of=theirs),
        requiring("members.list_members", Requirement("role", "member", scope="codes:read")),
    ),
    Attack("revoked API key", revoked, without_condition(api_keys.authenticate, "revoked_at IS NULL")),
    Attack("expired API key", expired, without_condition(api_keys.authenticate, "expires_at > now()")),
    Attack(
        "guessed API key",
        guessed,
        replaced(hmac, "compare_digest", lambda *_: True),
    ),
    Attack(
        "another's scan, read with an API key",
        anothers_scan,
        replaced(scans, "_may_read", lambda *_: True),
    ),
    Attack("API keys in a stolen backup", read_from_a_backup, replaced(idempotency, "_encrypt", lambda text, _: text)),
]
