"""Players, organizations, codes and scans put straight into PostgreSQL, for tests that are about something else."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared.codes.rotation import Rotation
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_log import Event
from shared.infra.event_sequencer import Sequencer
from shared.infra.relay_wakeup import wake_relay
from shared.scans import store
from shared.scans.rules import Coordinates
from shared.scans.store import NewScan

AMSTERDAM = Coordinates(52.3731, 4.8926)  # Dam square
SIXTY_METERS_OFF = Coordinates(52.37364, 4.8926)
SIX_KILOMETERS_OFF = Coordinates(52.427, 4.8926)
LISBON = Coordinates(38.7075, -9.1364)


def make_player(conn: Conn, username: str | None = None) -> UUID:
    username = username or f"p{secrets.token_hex(6)}"
    return _id(conn.execute("INSERT INTO players (username) VALUES (%s) RETURNING id", (username,)).fetchone())


def make_org(conn: Conn, slug: str | None = None) -> UUID:
    slug = slug or f"o{secrets.token_hex(6)}"
    return _id(
        conn.execute("INSERT INTO organizations (name, slug) VALUES (%s, %s) RETURNING id", (slug, slug)).fetchone()
    )


def make_invitation(conn: Conn, org_id: UUID, player_id: UUID, role: str = "member") -> UUID:
    """An open invitation of this player."""
    return _id(
        conn.execute(
            """
            INSERT INTO invitations (org_id, role, player_id, uses, uses_left, expires_at)
            VALUES (%s, %s, %s, 1, 1, now() + interval '7 days') RETURNING id
            """,
            (org_id, role, player_id),
        ).fetchone()
    )


def make_code(conn: Conn, org_id: UUID | None = None, coordinates: Coordinates | None = None, **fields: Any) -> UUID:
    """An item drop of one gem by default, usable for a hundred days. `coordinates` makes it require presence there.

    `destination_code` is another code of the organization, which is created unless it exists.
    """
    fields = {
        "code": f"c{secrets.token_hex(6)}",
        "scan_type": "item_drop",
        "reward_item": "gem",
        "reward_quantity": 1,
        "usable_since": datetime.now(UTC) - timedelta(days=100),
    } | fields
    if coordinates is not None:
        fields |= {"requires_location": True, "latitude": coordinates.latitude, "longitude": coordinates.longitude}
    org_id = org_id or make_org(conn)
    fields["org_id"] = org_id
    if (text := fields.pop("destination_code", None)) is not None:
        known = conn.execute("SELECT id FROM qr_codes WHERE code = %s", (text,)).fetchone()
        fields["destination_id"] = _id(known) if known else make_code(conn, org_id, code=text)
    columns = ", ".join(fields)
    values = ", ".join(f"%({name})s" for name in fields)
    return _id(conn.execute(f"INSERT INTO qr_codes ({columns}) VALUES ({values}) RETURNING id", fields).fetchone())


def make_encounter(conn: Conn, code_id: UUID, data: dict[str, Any] | None = None) -> UUID:
    return _id(
        conn.execute(
            """
            INSERT INTO encounters (qr_code_id, puzzle_type, difficulty_level, data, solution)
            VALUES (%s, 'decryption', 3, %s, 'open sesame') RETURNING id
            """,
            (code_id, json.dumps(data or {"cipher": "bcd"})),
        ).fetchone()
    )


def code_text(conn: Conn, code_id: UUID) -> str:
    row = conn.execute("SELECT code FROM qr_codes WHERE id = %s", (code_id,)).fetchone()
    assert row is not None
    return str(row[0])


def current_text(conn: Conn, code_id: UUID, steps_old: int = 0) -> str:
    """Return the code URL that the screens of a rotating code show, or showed this number of steps ago."""
    row = conn.execute(
        "SELECT code, rotation_seconds, rotation_secret, now() FROM qr_codes WHERE id = %s", (code_id,)
    ).fetchone()
    assert row is not None
    code, seconds, secret, now = row
    rotation = Rotation(seconds, secret)
    return f"https://any.example/s/{code}?t={rotation.sign(rotation.step_at(now) - steps_old)}"


def issuer_of(conn: Conn, code_id: UUID) -> str:
    """The id of the code's organization, as in responses."""
    row = conn.execute("SELECT org_id FROM qr_codes WHERE id = %s", (code_id,)).fetchone()
    assert row is not None
    return str(row[0])


def list_items(conn: Conn, player_id: UUID) -> list[tuple[str, int]]:
    """The player's items and quantities, whatever organization issued them."""
    return [(held.item, held.quantity) for held in store.list_inventory(conn, player_id)]


def submit_scan(
    conn: Conn, player_id: UUID, code_id: UUID, coordinates: Coordinates | None = None, **fields: Any
) -> UUID:
    """Accept a scan of a code."""
    return store.accept(conn, NewScan(player_id, code_text(conn, code_id), coordinates, **fields))


def make_held_scan(conn: Conn, player_id: UUID, code_id: UUID) -> UUID:
    """A scan of a code that waits for review."""
    return _id(
        conn.execute(
            """
            INSERT INTO player_scans (player_id, qr_code_id, status, reason, settled_at)
            VALUES (%(player)s, %(code)s, 'held', 'impossible_travel', now()) RETURNING id
            """,
            {"player": player_id, "code": code_id},
        ).fetchone()
    )


def append_event(
    conn: Conn, type_: str, player_id: UUID | None = None, org_id: UUID | None = None, **data: Any
) -> None:
    """Commit one event, in a transaction of its own unless the connection is in one."""
    conn.execute(
        "INSERT INTO events (type, player_id, org_id, data) VALUES (%s, %s, %s, %s)",
        (type_, player_id, org_id, json.dumps(data)),
    )
    wake_relay()


def number_events() -> list[Event]:
    """Number all committed events, as a relay that has just become the leader. Return them."""
    with db.dedicated_connection() as conn:
        sequencer = Sequencer(conn)
        numbered = sequencer.number(limit=100)
        while sequencer.has_more:
            numbered += sequencer.number(limit=100)
        return numbered


def _id(row: tuple[Any, ...] | None) -> UUID:
    assert row is not None
    return UUID(str(row[0]))
