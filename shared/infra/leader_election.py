"""Elect one leader among processes, by an advisory lock of a PostgreSQL session. It ends with the session.

PostgreSQL ends the session of a leader that sends no statement for LEADER_SILENCE_SECONDS, as a suspended process or a
lost host. Its timeouts overlook a session that is in a pipeline, or idle after one, because the Flush behind a Sync
disarms them: a standby ends these. Another process then leads. The earlier leader cannot write with its connection
afterwards.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import psycopg

from shared.infra import db
from shared.infra.db import exactly_one
from shared.infra.heartbeats import Heartbeat
from shared.infra.logging import get_logger
from shared.infra.metrics import Counter, Gauge
from shared.settings import SettingsError, settings

log = get_logger()

LEADER = Gauge(
    "waymark_leader",
    "1 if this process leads, else 0. Exactly one process of each role should lead.",
    ("role",),
    multiprocess_mode="livemax",
)
LEADER_CHANGES = Counter("waymark_leader_changes_total", "How often this process became the leader.", ("role",))
RETRY_SECONDS = 1.0
POOLER = "DATABASE_DIRECT_URL must be the URL of PostgreSQL, not of a pooler in transaction mode"


class Leadership:
    """The leadership of the connection that holds the lock. It ends with that connection.

    A leader writes to PostgreSQL with this connection only, and sends a statement at least every 5 seconds.
    """

    def __init__(self, conn: db.Conn, number: int) -> None:
        self.conn = conn
        self._number = number
        self._lock = threading.Lock()

    def is_held(self) -> bool:
        """Check the connection, so that a process that was suspended or cut off does not act as leader.

        The check is a statement, so it also extends the leadership. Exit if another session holds the lock: a pooler in
        transaction mode is between, and several processes would lead.
        """
        with self._lock:
            try:
                held = self.conn.execute(
                    """
                    SELECT FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objid = %s::bigint::oid
                    """,
                    (self._number,),
                )
            except psycopg.Error:
                return False
            if held.rowcount == 0:
                raise SettingsError(POOLER)
            return True


@contextmanager
def leadership(name: str, stopping: threading.Event) -> Iterator[Leadership | None]:
    """Wait until this process is the leader called `name`. Yield None if `stopping` is set first."""
    number = _lock_number(name)
    waiting = unavailable = False
    heartbeat, leads_gauge = Heartbeat(name), LEADER.labels(name)
    leads_gauge.set(0)
    while not stopping.is_set():
        heartbeat.beat()
        try:
            conn = db.dedicated_connection()
        except psycopg.OperationalError as error:
            if not unavailable:
                log.warning("database_unavailable", error=db.describe(error))
                unavailable = True
            stopping.wait(RETRY_SECONDS)
            continue
        unavailable = False
        with conn:
            while not stopping.is_set():
                heartbeat.beat()
                try:
                    leads = _try_lock(conn, number)
                    if leads:
                        _refuse_pooler(conn)
                    else:
                        _end_silent_leader(conn, number)
                except psycopg.OperationalError:
                    break  # open another connection
                if leads:
                    log.info("leader_elected", name=name)
                    LEADER_CHANGES.labels(name).inc()
                    leads_gauge.set(1)
                    try:
                        yield Leadership(conn, number)
                    finally:
                        leads_gauge.set(0)
                    return
                if not waiting:
                    log.info("leader_standby", name=name)
                    waiting = True
                stopping.wait(RETRY_SECONDS)
    yield None


def _try_lock(conn: db.Conn, number: int) -> bool:
    """Lock the number if no other session holds it. Let PostgreSQL end this session if the process falls silent."""
    # The second timeout applies inside a transaction, the third while PostgreSQL sends a result that nothing receives.
    row = exactly_one(
        conn.execute(
            """
            SELECT pg_try_advisory_lock(%(number)s),
                   set_config('idle_session_timeout', %(silence)s, false),
                   set_config('idle_in_transaction_session_timeout', %(silence)s, false),
                   set_config('tcp_user_timeout', %(silence)s, false)
            """,
            {"number": number, "silence": str(round(settings().leader_silence_seconds * 1000))},
        )
    )
    return bool(row[0])


def _end_silent_leader(conn: db.Conn, number: int) -> None:
    """Terminate the session that holds the number if its process has sent nothing for LEADER_SILENCE_SECONDS."""
    conn.execute(
        """
        SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
        JOIN pg_locks l ON l.pid = a.pid AND l.database = a.datid
        WHERE a.datname = current_database() AND l.locktype = 'advisory' AND l.granted AND l.classid = 0
          AND l.objid = %(number)s::bigint::oid AND a.wait_event = 'ClientRead'
          AND a.state_change < now() - make_interval(secs => %(silence)s)
        """,
        {"number": number, "silence": settings().leader_silence_seconds},
    )


def _refuse_pooler(conn: db.Conn) -> None:
    """Exit if a second client gets the same session, as from a pooler in transaction mode."""
    if db.is_pooled(conn):
        raise SettingsError(POOLER)


def find_leader_silence(conn: db.Conn, name: str) -> float | None:
    """Return how many seconds ago the leader called `name` sent its last statement. None if no process leads."""
    row = conn.execute(
        """
        SELECT coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::double precision
        FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.database = a.datid
        WHERE a.datname = current_database() AND l.locktype = 'advisory' AND l.granted AND l.classid = 0
          AND l.objid = %(number)s::bigint::oid
        """,
        {"number": _lock_number(name)},
    ).fetchone()
    return None if row is None else float(row[0])


def _lock_number(name: str) -> int:
    return crc32(f"waymark:{name}".encode())
