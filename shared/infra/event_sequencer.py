"""The sequencer gives committed events their positions in the event log. Only the leading relay runs one.

Ids and transaction ids become visible out of order. Positions become visible in their own order, because each
transaction that assigns them starts after the one before it has committed.
"""

import time
from typing import Any, NamedTuple
from zlib import crc32

import psycopg

from shared.infra.db import Conn, exactly_one
from shared.infra.event_log import SKIPPED_POSITIONS, Event
from shared.infra.logging import get_logger

log = get_logger()

SEQUENCER_LOCK = crc32(b"waymark:sequencer")
SURVEY_SECONDS = 60.0


class Snapshot(NamedTuple):
    """The transactions that a statement did not see: those that were running, and all from `xmax` on."""

    xmax: str
    running: list[str]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """Return the snapshot in PostgreSQL's text of a pg_snapshot, `xmin:xmax:running`."""
        _, xmax, running = text.split(":")
        return cls(xmax, running.split(",") if running else [])


class Sequencer:
    """Numbers events over one connection, which has its own settings from then on.

    It knows what is left to number: events with an id above `_seen`, those of transactions that `_snapshot` did not
    see, and those that were locked. So it reads no entry of the indexes that is dead but not vacuumed, as behind a long
    transaction.
    """

    def __init__(self, conn: Conn) -> None:
        self._conn = conn
        self.has_more = False
        """True if the last batch was full, also if the events in it already had positions."""
        # Plans are made while tables are small, and kept. They must use the indexes when tables are large.
        conn.execute(
            """
            SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
                   set_config('enable_mergejoin', 'off', false),
                   set_config('plan_cache_mode', 'force_generic_plan', false)
            """
        )
        self._skip_positions_of_lost_server()
        self._seen, self._snapshot = self._survey()
        self._postponed: list[int] = []
        self._next_survey = time.monotonic() + SURVEY_SECONDS

    def number(self, *, limit: int) -> list[Event]:
        """Give committed events their positions, in the order of ids. Commit, and return these events.

        They are up to `limit` events, and up to `limit` that were locked before.

        PostgreSQL notifies channel `qr_scan` of the scans among them that the trigger left to the relay.
        """
        if time.monotonic() > self._next_survey:
            self._seen, self._snapshot = self._survey()
            self._next_survey = time.monotonic() + SURVEY_SECONDS
        conn = self._conn
        # Two statements: the second sees what the transaction that held the lock has committed. The older snapshot of
        # the first is the one to remember. Events that a transaction has locked, such as an erasure, are postponed.
        with conn.pipeline(), conn.transaction():
            locked = conn.execute(
                "SELECT pg_current_snapshot()::text, pg_advisory_xact_lock(%(lock)s)", {"lock": SEQUENCER_LOCK}
            )
            numbered = conn.execute(
                """
                WITH unread AS MATERIALIZED (
                    SELECT id, position FROM (
                        (SELECT id, position FROM events WHERE id > %(seen)s ORDER BY id LIMIT %(limit)s)
                        UNION ALL
                        SELECT id, position FROM events
                        WHERE position IS NULL AND xid >= %(xmax)s::text::xid8 AND id <= %(seen)s
                        UNION ALL
                        SELECT id, position FROM events
                        WHERE position IS NULL AND xid = ANY (%(running)s::text[]::xid8[]) AND id <= %(seen)s
                    ) found
                    ORDER BY id LIMIT %(limit)s
                ), postponed AS MATERIALIZED (
                    SELECT id, position FROM events WHERE id = ANY (%(postponed)s::bigint[])
                ), unnumbered AS MATERIALIZED (
                    SELECT id FROM unread WHERE position IS NULL
                    UNION
                    SELECT id FROM postponed WHERE position IS NULL
                ), locked AS MATERIALIZED (
                    SELECT id FROM events WHERE id = ANY (ARRAY (SELECT id FROM unnumbered))
                    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
                ), numbered AS (
                    UPDATE events e SET position = last.position + locked.turn
                    FROM event_log_end last,
                         (SELECT id, row_number() OVER (ORDER BY id) AS turn FROM locked) locked
                    WHERE e.id = locked.id
                    RETURNING e.*
                ), summary AS (
                    SELECT count(*) AS unread, max(id) AS last_id,
                           ARRAY (SELECT id FROM unnumbered EXCEPT SELECT id FROM locked) AS skipped
                    FROM unread
                )
                SELECT s.unread, s.last_id, s.skipped, n.position, n.type, n.player_id, n.org_id, n.data, n.at,
                       CASE WHEN n.needs_notify THEN notify_scan(
                           coalesce(n.player_id, (SELECT player_id FROM player_scans
                                                  WHERE id = (n.data ->> 'scan_id')::uuid)),
                           n.data ->> 'qr_code', (n.data ->> 'scan_id')::uuid)
                       END
                FROM summary s LEFT JOIN numbered n ON true
                ORDER BY n.position
                """,
                {
                    "seen": self._seen,
                    "limit": limit,
                    "xmax": self._snapshot.xmax,
                    "running": self._snapshot.running,
                    "postponed": self._postponed[:limit],
                },
            )
        rows = numbered.fetchall()
        unread, last_id, skipped = rows[0][:3]
        self.has_more = unread == limit
        # Those that were not tried come first in the next batch.
        self._postponed = [*self._postponed[limit:], *skipped]
        self._snapshot = Snapshot.parse(exactly_one(locked)[0])
        if unread:
            # A full batch ends at its last id, and what follows is unread.
            self._seen = last_id if unread == limit else max(self._seen, last_id)
        return [Event(*row[3:9]) for row in rows if row[3] is not None]

    def _survey(self) -> tuple[int, Snapshot]:
        """Return the id after which events have no position, and the snapshot of this search.

        It reads the whole index of events without a position, with its dead entries.
        """
        # Repeated now and then: a restore into the running server adds events with old ids.
        seen, snapshot = exactly_one(
            self._conn.execute(
                """
                WITH unnumbered AS MATERIALIZED (SELECT id FROM events WHERE position IS NULL)
                SELECT coalesce((SELECT min(id) - 1 FROM unnumbered), (SELECT max(id) FROM events), 0),
                       pg_current_snapshot()::text
                """
            )
        )
        return seen, Snapshot.parse(snapshot)

    def _skip_positions_of_lost_server(self) -> None:
        """If another server assigned the last positions, leave a gap, in which no client can resume.

        That server may have assigned positions to events that are not in this database: it was restored from a backup,
        or a replica took over.
        """
        server = identify_server(self._conn)
        with self._conn.transaction():
            self._conn.execute("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": SEQUENCER_LOCK})
            skipped = self._conn.execute(
                """
                INSERT INTO log_servers (first_position, previous_position, server)
                SELECT last.position + CASE WHEN previous.server IS NULL THEN 0 ELSE %(skipped)s END + 1,
                       last.position, %(server)s
                FROM event_log_end last
                LEFT JOIN (SELECT server FROM log_servers ORDER BY first_position DESC LIMIT 1) previous ON true
                WHERE previous.server IS DISTINCT FROM %(server)s
                RETURNING first_position, previous_position
                """,
                {"server": server, "skipped": SKIPPED_POSITIONS},
            ).fetchone()
        if skipped is not None and skipped[0] > skipped[1] + 1:
            log.warning("event_positions_skipped", first=skipped[0], previous=skipped[1], server=server)


def identify_server(conn: Conn) -> str:
    """Return a text that another server does not have, nor this one after a restore or a failover.

    It has the identifiers of the cluster, the database and the table, and the timeline of the write-ahead log.
    """
    row: tuple[Any, ...] = exactly_one(
        conn.execute(
            """
            SELECT (SELECT oid FROM pg_database WHERE datname = current_database()), 'events'::regclass::oid
            """
        )
    )
    try:
        cluster = exactly_one(
            conn.execute(
                """
                SELECT system_identifier, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) FROM pg_control_system()
                """
            )
        )
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        # Some managed servers do not allow it.
        cluster = ()
    return "/".join(map(str, (*cluster, *row)))
