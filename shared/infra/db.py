"""PostgreSQL: one pool per process, opened after the fork, and transactions that their caller owns.

Connections are in autocommit: a single statement is one round trip; `transaction()` says where more belong together.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from psycopg import Connection, Cursor
from psycopg_pool import ConnectionPool

from shared.infra.per_process import per_process
from shared.settings import settings

Conn = Connection[tuple[Any, ...]]
Row = TypeVar("Row")
POOL_TIMEOUT_SECONDS = 3.0
OPTIONS: dict[str, Any] = {
    "autocommit": True,
    "application_name": "waymark",
    "connect_timeout": 3,
    # A server that fell silent, as after a failover, is given up within half a minute, also in the middle of an answer.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def _check(conn: Conn) -> None:
    """Ask PostgreSQL only when an idle connection has something to read: the server ended it, or a notice came."""
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        ConnectionPool.check_connection(conn)


@per_process
def pool() -> ConnectionPool[Conn]:
    """This process's pool. Never called before a fork: sockets must not be shared by processes."""
    return ConnectionPool(
        settings().database_url.get_secret_value(),
        min_size=min(4, settings().database_pool_size),  # a burst does not wait for the first few
        max_size=settings().database_pool_size,
        timeout=POOL_TIMEOUT_SECONDS,
        max_idle=300,
        reconnect_timeout=POOL_TIMEOUT_SECONDS,  # then who needs a connection tries anew: no backoff outlasts an outage
        check=_check,
        open=True,
        kwargs=OPTIONS,
    )


def dedicated_connection() -> Conn:
    """A connection of its own, outside the pool: for LISTEN, session locks and commands."""
    return Connection.connect(settings().database_url.get_secret_value(), **OPTIONS)


@contextmanager
def connection() -> Iterator[Conn]:
    """A pooled connection for statements that stand alone. The pool's own context would commit, too, where there is
    nothing to."""
    own = pool()
    conn = own.getconn()
    try:
        yield conn
    finally:
        own.putconn(conn)


@contextmanager
def transaction() -> Iterator[Conn]:
    """A pooled connection inside one transaction: committed at the end, rolled back on any exception."""
    with pool().connection() as conn, conn.transaction():
        yield conn


def exactly_one(cursor: Cursor[Row]) -> Row:
    """The row of a statement that always gives one."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("a statement that always gives a row gave none")
    return row


def close_pool() -> None:
    """Close this process's pool, if it opened one."""
    if (opened := pool.reset()) is not None:
        opened.close()


def terminate_stalled_transactions(conn: Conn, seconds: float) -> int:
    """Terminate Waymark's transactions whose process has sent nothing for `seconds`. Return their number.

    Such a process was halted, or its machine was. Its locks block others, and its transaction blocks the event log.

    PostgreSQL's own idle_in_transaction_session_timeout overlooks them: the Flush behind a pipeline's Sync disarms it.
    """
    return conn.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND application_name = 'waymark'
          AND xact_start IS NOT NULL AND wait_event = 'ClientRead' AND state_change < now() - make_interval(secs => %s)
        """,
        (seconds,),
    ).rowcount
