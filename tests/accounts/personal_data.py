"""A player with personal data in every table that can hold any, and a search for it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from flask import Flask

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.db import Conn
from shared.scans.rules import Coordinates
from tests.analytics.factories import roll_up
from tests.conftest import PASSWORD
from tests.quests.scan_quests import make_quest, visit
from tests.redemptions.factories import add_token, redeem
from tests.renders.factories import make_render
from tests.support.callers import SignedInPlayer, Staff, give_password, make_staff, sign_in
from tests.support.factories import make_code, make_encounter, make_held_scan, make_org

HERE = Coordinates(52.3731237, 4.8926891)
"""Coordinates with seven digits that no other row has."""
EMAIL = "ada.lovelace@example.com"
NAME = "Ada.Lovelace"
KNOWN = {"current_password": PASSWORD}
TRACES = (NAME, EMAIL, "52.3731237", "4.8926891", "12.3456", "nonce-of-ada", "request-of-ada", "text-by-ada", "Lisbon")
"""Texts that no row may contain after the erasure."""


@dataclass(frozen=True)
class Life:
    """The player, the staff of the organization, one of its codes, and the player's held scan."""

    ada: SignedInPlayer
    staff: Staff
    code: UUID
    held: UUID


def live(app: Flask, conn: Conn) -> Life:
    """Create scans of every outcome, a puzzle, quests, a ledger, memberships, stored responses and audit entries."""
    client: Any = app.test_client()
    ada, staff = sign_in(app, conn, NAME), make_staff(app, conn)
    give_password(conn, ada.id, PASSWORD, EMAIL)
    make_quest(conn, staff.org_id, streak=1, auto_claim=True)
    landmark = {"tags": ["landmark"], "per_player_limit": None}
    code = make_code(conn, staff.org_id, HERE, **landmark)
    puzzle = make_code(conn, staff.org_id, scan_type="encounter")
    encounter = make_encounter(conn, puzzle)
    gate = make_code(conn, staff.org_id, scan_type="transportation", destination_code="Lisbon")
    far = make_code(conn, staff.org_id, Coordinates(38.7, -9.1))
    for number, scanned in enumerate((code, puzzle, gate, far, code)):
        visit(conn, ada.id, scanned, coordinates=HERE, nonce=f"nonce-of-ada-{number}", accuracy_m=12.3456)
    unknown = {"player_id": str(ada.id), "qr_code": "text-by-ada", "nonce": "nonce-of-ada"}
    headers = ada.headers | {"X-Request-ID": "request-of-ada"}
    assert client.post("/scan", json=unknown, headers=headers).status_code == 202
    visit(conn, ada.id, code, coordinates=HERE)
    held = make_held_scan(conn, ada.id, code)
    conn.execute(
        """
        UPDATE player_scans SET latitude = %s, longitude = %s, compare_coordinates = true,
                                decision_inputs = '{"impossible_travel": {"metres": 12.3456}}'
        WHERE id = %s
        """,
        (HERE.latitude, HERE.longitude, held),
    )
    answer = {"answer": "open sesame"}
    assert client.post(f"/encounters/{encounter}/solve", json=answer, headers=ada.headers | keyed()).status_code == 200
    generated = {"data": "text-by-ada"}
    assert client.post("/generate", json=generated, headers=ada.headers | keyed()).status_code == 201
    conn.execute(
        "UPDATE render_jobs SET requested_by = %s WHERE id = %s", (ada.id, make_render(conn, staff.org_id, code))
    )
    members = f"{staff.path}/members"
    for role in ("analyst", "owner"):  # the second invitation is still open
        body = {"username": NAME, "role": role}
        invited = client.post(members, json=body, headers=staff.owner.headers | keyed())
        assert invited.status_code == 202
        if role == "analyst":
            accepted = client.post(f"{invited.json['url']}/accept", headers=headers | keyed())
            assert accepted.status_code == 200
    conn.execute("INSERT INTO memberships VALUES (%s, %s, 'member')", (make_org(conn), ada.id))
    admin = {"role": "admin"}
    assert client.patch(f"{members}/{ada.id}", json=admin, headers=staff.owner.headers).status_code == 200
    link = {"role": "member"}
    assert client.post(f"{staff.path}/invitations", json=link, headers=headers | keyed()).status_code == 201
    key = {"name": "kiosk", "scopes": ["scan"]}
    assert client.post(f"{staff.path}/api-keys", json=key, headers=headers | keyed()).status_code == 201
    redeem(conn, ada.id, staff.org_id, ada)
    add_token(conn, ada.id, staff.org_id)
    for username in (NAME.upper(), NAME):
        assert client.patch("/users/me", json={"username": username}, headers=headers).status_code == 200
    audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=ada.id, new={"username": NAME})
    conn.execute("UPDATE players SET timezone = 'Europe/Lisbon' WHERE id = %s", (ada.id,))
    conn.execute("INSERT INTO external_identities VALUES ('https://login.example', %s, %s)", (EMAIL, ada.id))
    roll_up()
    return Life(ada, staff, code, held)


def keyed() -> dict[str, str]:
    """Return a header with a new Idempotency-Key."""
    return {"Idempotency-Key": str(uuid4())}


def find_traces(conn: Conn, *traces: str) -> list[tuple[str, str]]:
    """Return table and trace for each trace that a row of the table contains, as text and in any letter case."""
    tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return [
        (table, trace)
        for (table,) in tables
        for trace in traces
        if db.exactly_one(
            conn.execute(
                f"SELECT EXISTS (SELECT FROM {table} AS t WHERE strpos(lower(t::text), lower(%s)) > 0)", (trace,)
            )
        )[0]
    ]


def player_columns(conn: Conn) -> set[tuple[str, str]]:
    """Return every column that may hold a player's id: by a foreign key, or by its type and name."""
    rows = conn.execute(
        """
        SELECT k.conrelid::regclass::text, a.attname
        FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
        WHERE k.contype = 'f' AND k.confrelid = 'players'::regclass
        UNION
        SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables
            USING (table_catalog, table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version'
          AND data_type = 'uuid'
          AND column_name ~ '^(player|user|member|caller|owner|by)(_id)?$|_by$|_by_id$'
        """
    ).fetchall()
    return {(table, column) for table, column in rows}


def erase(client: Any, player: SignedInPlayer, **body: Any) -> Any:
    return client.delete("/users/me", json=body, headers=player.headers)
