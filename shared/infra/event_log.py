"""The event log: append-only, read in commit order, the source of live events and rollups.

The statement that causes an event also appends it: the trigger on player_scans, or the settlement.

A position is (transaction id, event id). Sequence numbers become visible out of order, so consumers stop below the
oldest running transaction (`pg_snapshot_xmin`). No event can then appear before a position that was already read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one

NOTIFY_CHANNEL = "events"
"""PostgreSQL channel on which new events are notified."""
POSITIONS_LOCK = crc32(b"waymark:rollups")
RELAY, ROLLUPS = "relay", "rollups"
VISITS = "visits"
"""Position of the rollups in the log of visits. The other two are positions in the event log."""
CONSUMERS = (RELAY, ROLLUPS)
"""An event is purged only after each of them has read it."""


class LogPosition(NamedTuple):
    """A place in the log. Later places compare greater."""

    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> "LogPosition | None":
        """Return the position in a client's `since`, or None if it is malformed."""
        xid, dash, number = text.partition("-")
        if not (dash and xid.isascii() and number.isascii() and xid.isdigit() and number.isdigit()):
            return None
        if len(xid) > 19 or len(number) > 18:
            return None
        return cls(int(xid), int(number))


class Snapshot(NamedTuple):
    """The transactions that were visible at one moment (PostgreSQL's pg_snapshot: xmin:xmax:running)."""

    xmin: int
    xmax: int
    running: frozenset[int]

    def sees(self, xid: int) -> bool:
        """Return whether the transaction was committed at that moment."""
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
    """Wake the relay when the caller's transaction commits."""
    conn.execute("SELECT pg_notify(%(channel)s, '')", {"channel": NOTIFY_CHANNEL})


def read(
    conn: Conn, after: LogPosition, *, limit: int, player_id: UUID | None = None, org_id: UUID | None = None
) -> list[Event]:
    """Return settled events after a position, oldest first: of one player, of one organization, or all."""
    # They end below the oldest transaction that still runs, so that no event can appear before one of them later.
    with conn.cursor(row_factory=class_row(Event)) as cursor:
        params = {"xid": str(after.xid), "id": after.id, "limit": limit, "player_id": player_id, "org_id": org_id}
        if player_id is not None:
            cursor.execute(
                """
                SELECT xid::text::bigint AS xid, id, type, player_id, org_id, data, at FROM events
                WHERE (xid, id) > (%(xid)s::text::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                  AND player_id = %(player_id)s
                ORDER BY events.xid, id LIMIT %(limit)s
                """,
                params,
            )
        elif org_id is not None:
            cursor.execute(
                """
                SELECT xid::text::bigint AS xid, id, type, player_id, org_id, data, at FROM events
                WHERE (xid, id) > (%(xid)s::text::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                  AND org_id = %(org_id)s
                ORDER BY events.xid, id LIMIT %(limit)s
                """,
                params,
            )
        else:
            cursor.execute(
                """
                SELECT xid::text::bigint AS xid, id, type, player_id, org_id, data, at FROM events
                WHERE (xid, id) > (%(xid)s::text::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY events.xid, id LIMIT %(limit)s
                """,
                params,
            )
        return cursor.fetchall()


def current_snapshot(conn: Conn) -> Snapshot:
    """Return the snapshot of this statement."""
    row = exactly_one(conn.execute("SELECT pg_current_snapshot()::text"))
    return Snapshot.parse(row[0])


def has_blocked_events(conn: Conn) -> bool:
    """Return whether events wait for an older transaction that still runs."""
    row = exactly_one(
        conn.execute("SELECT EXISTS (SELECT FROM events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))")
    )
    return bool(row[0])


def purge(conn: Conn, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` events older than `before` that every consumer has read. Return their number.

    The position of the last one is saved as `retention_horizon`.
    """
    # The innermost query reads the oldest events only: younger ones need not be examined.
    row = exactly_one(
        conn.execute(
            """
            WITH deleted AS (
                DELETE FROM events WHERE (xid, id) IN (
                    SELECT xid, id FROM (
                        SELECT xid, id, at FROM events
                        WHERE (SELECT count(*) FROM log_positions WHERE name = ANY (%(consumers)s))
                              = cardinality(%(consumers)s)
                          AND (xid, id) <= (
                              SELECT xid, id FROM log_positions WHERE name = ANY (%(consumers)s)
                              ORDER BY xid, id LIMIT 1
                          )
                        ORDER BY xid, id
                        LIMIT %(limit)s
                    ) oldest
                    WHERE at < %(before)s
                )
                RETURNING xid, id
            ), last_deleted AS (
                SELECT xid, id FROM deleted ORDER BY xid DESC, id DESC LIMIT 1
            ), saved_horizon AS (
                INSERT INTO log_positions (name, xid, id) SELECT 'retention_horizon', xid, id FROM last_deleted
                ON CONFLICT (name) DO UPDATE SET xid = EXCLUDED.xid, id = EXCLUDED.id
                WHERE (EXCLUDED.xid, EXCLUDED.id) > (log_positions.xid, log_positions.id)
            )
            SELECT count(*) FROM deleted
            """,
            {"before": before, "limit": limit, "consumers": list(CONSUMERS)},
        )
    )
    return int(row[0])


def load_position(conn: Conn, name: str) -> LogPosition | None:
    """Return the position of a consumer, or None. `retention_horizon` is the last event that retention removed."""
    row = conn.execute(
        "SELECT xid::text::bigint, id FROM log_positions WHERE name = %(name)s", {"name": name}
    ).fetchone()
    return LogPosition(*row) if row else None


def save_position(conn: Conn, name: str, position: LogPosition) -> None:
    """Save the position of a consumer."""
    conn.execute(
        """
        INSERT INTO log_positions (name, xid, id) VALUES (%(name)s, %(xid)s::text::xid8, %(id)s)
        ON CONFLICT (name) DO UPDATE SET xid = EXCLUDED.xid, id = EXCLUDED.id
        """,
        {"name": name, "xid": str(position.xid), "id": position.id},
    )


def try_lock_positions(conn: Conn) -> bool:
    """Lock the positions of the rollups until the transaction ends. Return False if another transaction holds them."""
    row = exactly_one(conn.execute("SELECT pg_try_advisory_xact_lock(%(lock)s)", {"lock": POSITIONS_LOCK}))
    return bool(row[0])


def lock_positions(conn: Conn) -> None:
    """Lock the positions of the rollups until the transaction ends. Wait while another transaction holds them."""
    # Not a row lock: it would give this transaction an id, and no consumer reads past a transaction that still runs.
    conn.execute("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": POSITIONS_LOCK})


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Erase the texts of unknown codes from the player's events. Events of known codes remain."""
    conn.execute(
        """
        UPDATE events SET data = data || '{"qr_code": "erased"}'
        WHERE player_id = %(player_id)s AND org_id IS NULL AND data ->> 'qr_code' <> 'erased'
        """,
        {"player_id": player_id},
    )
