"""Reads that may be some seconds old, from the replica of DATABASE_READ_URL, or from the primary.

A reading sees no write of the last seconds, so it is for lists and counts that report. Authentication, checks before a
write, and what a client reads back after its own write use the primary.
"""

import threading
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
import psycopg_pool
from pydantic import SecretStr

from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.logging import get_logger
from shared.infra.per_process import per_process
from shared.settings import settings

log = get_logger()
P = ParamSpec("P")
T = TypeVar("T")

MAX_LAG_SECONDS = 30.0
CHECK_SECONDS = 1.0
ANSWER_SECONDS = 3.0
"""An answer counts for this time. A replica that hangs is not used afterwards."""
PAUSE_SECONDS = 5.0
"""After a failure, the replica is not tried for this time, so that few requests wait for it."""
POOL_TIMEOUT_SECONDS = 1.0

LAG = """
    SELECT CASE WHEN pg_is_in_recovery()
                THEN coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float, 'Infinity')
                ELSE 0 END
"""
"""Seconds since the commit of the last transaction that was replayed. The primary commits one every few seconds, also
if nothing else does: see `record_time`. 0 for a server that was promoted."""


def connect() -> Conn:
    """Open a connection to DATABASE_READ_URL, outside the pool. Raise OperationalError."""
    url = settings().database_read_url or settings().database_url
    return psycopg.connect(url.get_secret_value(), **db.OPTIONS)


def lag_of(conn: Conn) -> float:
    """Return how many seconds the server of this connection is behind. 0 for a primary."""
    # A prepared statement may not exist on the next connection of a pooler.
    return float(exactly_one(conn.execute(LAG, prepare=False))[0])


class ReadReplica:
    """The pool of connections to a replica, and whether it is used now.

    A thread asks the replica once a second. So no request waits for one that does not answer.
    """

    def __init__(self, url: SecretStr) -> None:
        self.pool = db.open_pool(url, min_size=0, timeout=POOL_TIMEOUT_SECONDS)
        self._usable_until = self._paused_until = 0.0
        self._closing = threading.Event()
        threading.Thread(target=self._watch, name="read-replica", daemon=True).start()

    def is_usable(self) -> bool:
        """Return whether the replica has answered lately, and was at most MAX_LAG_SECONDS behind."""
        return self._paused_until <= time.monotonic() < self._usable_until

    def read(self, query: Callable[Concatenate[Conn, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Return the result of the query on the replica. Raise psycopg.Error or PoolTimeout."""
        conn = self.pool.getconn()
        try:
            return query(conn, *args, **options)
        finally:
            self.pool.putconn(conn)

    def pause(self, error: Exception) -> None:
        """Read from the primary for a while."""
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("read_replica_unavailable", error=db.describe(error))

    def close(self) -> None:
        self._closing.set()
        self.pool.close()

    def _watch(self) -> None:
        while not self._closing.is_set():
            try:
                with connect() as conn:
                    while not self._closing.wait(CHECK_SECONDS):
                        self._record(lag_of(conn))
            except psycopg.Error as error:
                self._usable_until = 0.0
                if not self._closing.is_set():
                    self.pause(error)
                self._closing.wait(PAUSE_SECONDS)

    def _record(self, lag: float) -> None:
        was_usable = self.is_usable()
        is_current = lag <= MAX_LAG_SECONDS
        self._usable_until = time.monotonic() + ANSWER_SECONDS if is_current else 0.0
        if was_usable and not is_current:
            log.warning("read_replica_behind", seconds=lag)


@per_process
def replica() -> ReadReplica | None:
    """Return this process's replica. None if there is no DATABASE_READ_URL."""
    url = settings().database_read_url
    return None if url is None else ReadReplica(url)


def reading(query: Callable[Concatenate[Conn, P], T], *args: P.args, **options: P.kwargs) -> T:
    """Return `query(conn, …)`, which only reads, from the replica if that is usable, else from the primary.

    The connection is in autocommit. After any error of the replica, the query runs again, on the primary. Such an
    error can be a cancellation, because the replica replayed a change of the rows that were read.
    """
    own = replica()
    if own is not None and own.is_usable():
        try:
            return own.read(query, *args, **options)
        except psycopg.errors.SerializationFailure as error:
            log.info("read_replica_conflict", error=db.describe(error))
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            own.pause(error)
    with db.connection() as conn:
        return query(conn, *args, **options)


def record_time() -> None:
    """Commit a transaction that changes nothing, so that the lag of a replica is known while nothing else commits."""
    try:
        with db.connection() as conn:
            conn.execute("SELECT pg_current_xact_id()")
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
        log.warning("time_not_recorded", error=db.describe(error))


def close() -> None:
    """Close this process's connections to the replica, if it opened any."""
    if (opened := replica.reset()) is not None:
        opened.close()
