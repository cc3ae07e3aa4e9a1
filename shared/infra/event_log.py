"""The event log: append-only, read in commit order, the memory behind everything live.

Events are inserted by the statements that bring them about: the trigger on player_scans, and settling.

A position is (transaction id, event id). Sequence numbers become visible out of order, so readers stop below the oldest
transaction still running (`pg_snapshot_xmin`): nothing can appear behind a position once it was read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one

NOTIFY_CHANNEL = "events"  # NOTIFY: there is something to read
POSITIONS_LOCK = crc32(b"waymark:rollups")
RELAY, ROLLUPS, VISITS = "relay", "rollups", "visits"  # who reads on from a mark; the last one, in the log of visits
CONSUMERS = (RELAY, ROLLUPS)
"""An event is purged only after each of them has read it."""


class LogPosition(NamedTuple):
    """A place in the log; later places compare greater."""

    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> "LogPosition | None":
        """The position a client resumes from, or None if Waymark never issued it."""
        xid, dash, number = text.partition("-")
        if not (dash and xid.isascii() and number.isascii() and xid.isdigit() and number.isdigit()):
            return None
        if len(xid) > 19 or len(number) > 18:
            return None
        return cls(int(xid), int(number))


class Snapshot(NamedTuple):
    """Which transactions were visible at one moment (PostgreSQL's pg_snapshot: xmin:xmax:running)."""

    xmin: int
    xmax: int
    running: frozenset[int]

    def sees(self, xid: int) -> bool:
        """Whether the transaction had been committed by then."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, running.split(","))) if running else frozenset())


@dataclass(frozen=True)
class Event:
    """A row of the event log."""

    xid: int
    id: int
    type: str
    player_id: UUID | None
    org_id: UUID | None
    data: dict[str, Any]
    at: datetime

    @property
    def position(self) -> LogPosition:
        return LogPosition(self.xid, self.id)


def notify_relay(conn: Conn) -> None:
    """Have the relay woken when the caller's transaction commits."""
    conn.execute("SELECT pg_notify(%s, '')", (NOTIFY_CHANNEL,))


def read(
    conn: Conn, after: LogPosition, *, limit: int, player_id: UUID | None = None, org_id: UUID | None = None
) -> list[Event]:
    """Settled events past a position, oldest first: of one player, of one organization, or all."""
    stream, owner = "", None
    if player_id is not None:
        stream, owner = "AND player_id = %(owner)s", player_id
    elif org_id is not None:
        stream, owner = "AND org_id = %(owner)s", org_id
    with conn.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(
            f"""
            SELECT xid::text::bigint AS xid, id, type, player_id, org_id, data, at
            FROM events
            WHERE (xid, id) > (%(xid)s::text::xid8, %(id)s)
              AND xid < pg_snapshot_xmin(pg_current_snapshot())
              {stream}
            ORDER BY xid, id
            LIMIT %(limit)s
            """,  # noqa: S608 - `stream` is one of three constants
            {"xid": str(after.xid), "id": after.id, "owner": owner, "limit": limit},
        ).fetchall()


def current_snapshot(conn: Conn) -> Snapshot:
    """What is visible right now."""
    row = exactly_one(conn.execute("SELECT pg_current_snapshot()::text"))
    return Snapshot.parse(row[0])


def has_blocked_events(conn: Conn) -> bool:
    """Whether events wait behind an older transaction that still runs."""
    row = exactly_one(
        conn.execute("SELECT EXISTS (SELECT FROM events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))")
    )
    return bool(row[0])


def forget(conn: Conn, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` events older than `before` that every reader has passed. Return their number."""
    row = exactly_one(
        conn.execute(
            """
        WITH deleted AS (
            DELETE FROM events WHERE (xid, id) IN (
                SELECT xid, id FROM (  -- the oldest first, and no further: what is young is not looked through
                    SELECT xid, id, at FROM events
                    WHERE (SELECT count(*) FROM log_positions WHERE name = ANY(%(readers)s)) = cardinality(%(readers)s)
                      AND (xid, id) <= (SELECT xid, id FROM log_positions WHERE name = ANY(%(readers)s)
                                        ORDER BY xid, id LIMIT 1)
                    ORDER BY xid, id
                    LIMIT %(limit)s) oldest
                WHERE at < %(before)s
            )
            RETURNING xid, id
        ), last AS (
            SELECT xid, id FROM deleted ORDER BY xid DESC, id DESC LIMIT 1
        ), saved_horizon AS (
            INSERT INTO log_positions (name, xid, id) SELECT 'retention_horizon', xid, id FROM last
            ON CONFLICT (name) DO UPDATE SET xid = EXCLUDED.xid, id = EXCLUDED.id
            WHERE (EXCLUDED.xid, EXCLUDED.id) > (log_positions.xid, log_positions.id)
        )
        SELECT count(*) FROM deleted
        """,
            {"before": before, "limit": limit, "readers": list(CONSUMERS)},
        )
    )
    return int(row[0])


def read_mark(conn: Conn, name: str) -> LogPosition | None:
    """How far a reader of the log has come. `retention_horizon` is the last event that retention removed."""
    row = conn.execute("SELECT xid::text::bigint, id FROM log_positions WHERE name = %s", (name,)).fetchone()
    return LogPosition(*row) if row else None


def write_mark(conn: Conn, name: str, position: LogPosition) -> None:
    """Remember how far a reader of the log has come."""
    conn.execute(
        """
        INSERT INTO log_positions (name, xid, id) VALUES (%s, %s::text::xid8, %s)
        ON CONFLICT (name) DO UPDATE SET xid = EXCLUDED.xid, id = EXCLUDED.id
        """,
        (name, str(position.xid), position.id),
    )


def try_lock_positions(conn: Conn) -> bool:
    """Lock the positions of the rollups until the transaction ends. Return False if another transaction holds them."""
    return bool(exactly_one(conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (POSITIONS_LOCK,)))[0])


def lock_positions(conn: Conn) -> None:
    """Lock the positions of the rollups until the transaction ends. Wait while another transaction holds them."""
    # Not a row lock: it would give this transaction an id, and no consumer reads past a transaction that still runs.
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (POSITIONS_LOCK,))


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Erase the texts of unknown codes from the player's events. Events of known codes remain."""
    conn.execute(
        """
        UPDATE events SET data = data || '{"qr_code": "erased"}'
        WHERE player_id = %(player_id)s AND org_id IS NULL AND data ->> 'qr_code' <> 'erased'
        """,
        {"player_id": player_id},
    )
