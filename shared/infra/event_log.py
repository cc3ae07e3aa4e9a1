"""The event log: append-only, the source of live events and rollups.

The statement that causes an event also appends it: the trigger on player_scans, or the settlement. The relay then gives
the committed event its position (`event_sequencer`). Positions are dense integers, and become visible in their order.
A consumer reads the events above its stored position, and misses none.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zlib import crc32

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one

POSITIONS_LOCK = crc32(b"waymark:rollups")
RELAY, ROLLUPS = "relay", "rollups"
CONSUMERS = (RELAY, ROLLUPS)
"""An event is purged only after each of them has read it."""
RETENTION_HORIZON = "retention_horizon"
"""The name of the position of the last event that retention removed."""
MAX_POSITION = 2**63 - 1
SKIPPED_POSITIONS = 1_000_000_000
"""The gap that another server leaves. More than one assigns between a backup and its loss, or sends to one socket."""


@dataclass(frozen=True)
class Event:
    """An event that has its position."""

    position: int
    type: str
    player_id: UUID | None
    org_id: UUID | None
    data: dict[str, Any]
    at: datetime


def read(
    conn: Conn, after: int, *, limit: int, player_id: UUID | None = None, org_id: UUID | None = None
) -> list[Event]:
    """Return events after a position, in their order: of one player, of one organization, or all."""
    with conn.cursor(row_factory=class_row(Event)) as cursor:
        params = {"after": after, "limit": limit, "player_id": player_id, "org_id": org_id}
        if player_id is not None:
            cursor.execute(
                """
                SELECT position, type, player_id, org_id, data, at FROM events
                WHERE position > %(after)s AND player_id = %(player_id)s ORDER BY position LIMIT %(limit)s
                """,
                params,
            )
        elif org_id is not None:
            cursor.execute(
                """
                SELECT position, type, player_id, org_id, data, at FROM events
                WHERE position > %(after)s AND org_id = %(org_id)s ORDER BY position LIMIT %(limit)s
                """,
                params,
            )
        else:
            cursor.execute(
                """
                SELECT position, type, player_id, org_id, data, at FROM events
                WHERE position > %(after)s ORDER BY position LIMIT %(limit)s
                """,
                params,
            )
        return cursor.fetchall()


def last_position(conn: Conn) -> int:
    """Return the last position that was assigned, or 0. Read it before the page that is to contain it."""
    return int(exactly_one(conn.execute("SELECT position FROM event_log_end"))[0])


def can_resume(conn: Conn, since: int) -> bool:
    """Return whether the log has every event after this position of a client.

    It has not if the position was never assigned, or was purged, or if a server that was replaced assigned it.
    """
    row = exactly_one(
        conn.execute(
            """
            SELECT %(since)s <= (SELECT position FROM event_log_end)
               AND NOT EXISTS (SELECT FROM log_positions WHERE name = 'retention_horizon' AND position > %(since)s)
               AND NOT EXISTS (
                   SELECT FROM log_servers WHERE previous_position < %(since)s AND first_position > %(since)s
               )
            """,
            {"since": since},
        )
    )
    return bool(row[0])


def parse_position(text: str) -> int | None:
    """Return the position in a client's `since`, or None if it is malformed."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    position = int(text)
    return position if position <= MAX_POSITION else None


def purge(conn: Conn, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` events older than `before` that every consumer has read. Return their number.

    The position of the last one is saved as `retention_horizon`.
    """
    # The innermost query reads the oldest events only: younger ones need not be examined.
    row = exactly_one(
        conn.execute(
            """
            WITH deleted AS (
                DELETE FROM events WHERE position IN (
                    SELECT position FROM (
                        SELECT position, at FROM events
                        WHERE (SELECT count(*) FROM log_positions WHERE name = ANY (%(consumers)s))
                              = cardinality(%(consumers)s)
                          AND position <= (SELECT min(position) FROM log_positions WHERE name = ANY (%(consumers)s))
                        ORDER BY position
                        LIMIT %(limit)s
                    ) oldest
                    WHERE at < %(before)s
                )
                RETURNING position
            ), saved_horizon AS (
                INSERT INTO log_positions (name, position)
                SELECT 'retention_horizon', max(position) FROM deleted HAVING count(*) > 0
                ON CONFLICT (name) DO UPDATE SET position = greatest(log_positions.position, EXCLUDED.position)
            )
            SELECT count(*) FROM deleted
            """,
            {"before": before, "limit": limit, "consumers": list(CONSUMERS)},
        )
    )
    return int(row[0])


def load_position(conn: Conn, name: str) -> int:
    """Return the position of a consumer, or 0 if it has read nothing."""
    row = conn.execute("SELECT position FROM log_positions WHERE name = %(name)s", {"name": name}).fetchone()
    return int(row[0]) if row else 0


def save_position(conn: Conn, name: str, position: int) -> None:
    """Save the position of a consumer."""
    conn.execute(
        """
        INSERT INTO log_positions (name, position) VALUES (%(name)s, %(position)s)
        ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position
        """,
        {"name": name, "position": position},
    )


def try_lock_positions(conn: Conn) -> bool:
    """Lock the positions of the rollups until the transaction ends. Return False if another transaction holds them."""
    row = exactly_one(conn.execute("SELECT pg_try_advisory_xact_lock(%(lock)s)", {"lock": POSITIONS_LOCK}))
    return bool(row[0])


def lock_positions(conn: Conn) -> None:
    """Lock the positions of the rollups until the transaction ends. Wait while another transaction holds them."""
    conn.execute("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": POSITIONS_LOCK})


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Erase the texts of unknown codes from the player's events. Events of known codes remain."""
    # The relay skips a locked event, and numbers it later. The events without a position are few, and have no index of
    # players. They come first: an event that gets its position meanwhile is then found among the others.
    conn.execute(
        """
        UPDATE events SET data = data || '{"qr_code": "erased"}'
        WHERE position IS NULL AND player_id = %(player_id)s AND org_id IS NULL AND data ->> 'qr_code' <> 'erased'
        """,
        {"player_id": player_id},
    )
    conn.execute(
        """
        UPDATE events SET data = data || '{"qr_code": "erased"}'
        WHERE position IS NOT NULL AND player_id = %(player_id)s AND org_id IS NULL
          AND data ->> 'qr_code' <> 'erased'
        """,
        {"player_id": player_id},
    )
