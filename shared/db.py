"""PostgreSQL: one pool per process, opened after the fork, and transactions that their caller owns.

Connections are in autocommit: a single statement is one round trip; `transaction()` says where more belong together.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from psycopg import Connection, Cursor
from psycopg_pool import ConnectionPool

from shared.settings import settings

Conn = Connection[tuple[Any, ...]]
Row = TypeVar("Row")
CHECKOUT_SECONDS = 3.0
IDLE_TRANSACTION_SECONDS = 10
"""A process that was halted inside a transaction holds its locks, and everyone's live events: PostgreSQL ends it then."""


def _check(conn: Conn) -> None:
    """Ask PostgreSQL only when an idle connection has something to read: the server ended it, or a notice came."""
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        ConnectionPool.check_connection(conn)


def _configure(conn: Conn) -> None:
    conn.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_SECONDS}s'")


@cache
def pool() -> ConnectionPool[Conn]:
    """This process's pool. Never called before a fork: sockets must not be shared by processes."""
    return ConnectionPool(
        settings().database_url.get_secret_value(),
        min_size=1,
        max_size=settings().database_pool,
        timeout=CHECKOUT_SECONDS,
        max_idle=300,
        reconnect_timeout=CHECKOUT_SECONDS,  # then who needs a connection tries anew: no backoff outlasts an outage
        configure=_configure,
        check=_check,
        open=True,
        kwargs={"autocommit": True, "application_name": "waymark", "connect_timeout": 3},
    )


def connect() -> Conn:
    """A connection of its own, outside the pool: for LISTEN, session locks and commands."""
    return Connection.connect(
        settings().database_url.get_secret_value(),
        autocommit=True,
        application_name="waymark",
        connect_timeout=3,
        keepalives_idle=15,
        keepalives_interval=5,
        keepalives_count=3,
    )


@contextmanager
def connection() -> Iterator[Conn]:
    """A pooled connection for statements that stand alone."""
    with pool().connection() as conn:
        yield conn


@contextmanager
def transaction(*, durable: bool = True) -> Iterator[Conn]:
    """A pooled connection inside one transaction: committed at the end, rolled back on any exception.

    With durable=False the commit does not wait for the disk: whole and visible at once, but a crash of PostgreSQL may
    undo it. For what is worth less than the wait.
    """
    with pool().connection() as conn, conn.transaction():
        if not durable:
            conn.execute("SET LOCAL synchronous_commit TO off")
        yield conn


def one(cursor: Cursor[Row]) -> Row:
    """The row of a statement that always gives one."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("a statement that always gives a row gave none")
    return row


def close_pool() -> None:
    """Close this process's pool, if it opened one."""
    if pool.cache_info().currsize:
        pool().close()
        pool.cache_clear()
