"""PostgreSQL: one pool per process, opened after the fork, and transactions that their caller owns.

Connections are in autocommit: a single statement is one round trip; `transaction()` says where more belong together.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from psycopg import Connection, Cursor, OperationalError
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg_pool import ConnectionPool
from pydantic import SecretStr

from shared.infra.per_process import per_process
from shared.settings import settings

Conn = Connection[tuple[Any, ...]]
Row = TypeVar("Row")
POOL_TIMEOUT_SECONDS = 3.0
OPTIONS: dict[str, Any] = {
    "autocommit": True,
    "application_name": "waymark",
    "connect_timeout": 3,
    # A server that sends nothing, as after a failover, is given up within 30 seconds, also in the middle of a result.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_calls_after_commit: WeakKeyDictionary[Conn, list[Callable[[], None]]] = WeakKeyDictionary()


def _check(conn: Conn) -> None:
    """Raise OperationalError if the server has closed this idle connection, as far as it is known without asking."""
    # The first call may read what the server sent last, the second one then finds the end of the connection.
    conn.pgconn.consume_input()
    conn.pgconn.consume_input()


@per_process
def pool() -> ConnectionPool[Conn]:
    """Return this process's pool. Do not call it before a fork: processes must not share sockets."""
    # Open at the start, so that a burst does not wait for the first connections.
    return open_pool(settings().database_url, min_size=min(4, settings().database_pool_size))


def open_pool(url: SecretStr, *, min_size: int, timeout: float = POOL_TIMEOUT_SECONDS) -> ConnectionPool[Conn]:
    """Open a pool of up to DATABASE_POOL_SIZE connections, for which callers wait up to `timeout` seconds."""
    return ConnectionPool(
        url.get_secret_value(),
        min_size=min_size,
        max_size=settings().database_pool_size,
        timeout=timeout,
        max_idle=300,
        # After that, the next caller reconnects: no backoff outlasts an outage.
        reconnect_timeout=timeout,
        check=_check,
        open=True,
        # Without prepared statements, which a pooler in transaction mode may send to another connection.
        kwargs=OPTIONS if settings().database_prepared else OPTIONS | {"prepare_threshold": None},
    )


def dedicated_connection() -> Conn:
    """Open a connection to DATABASE_DIRECT_URL, outside the pool, for session locks and commands."""
    return Connection.connect(settings().direct_database_url.get_secret_value(), **OPTIONS)


def is_pooled(conn: Conn) -> bool:
    """Return whether a second client gets the session of this idle one, as from a pooler in transaction mode."""
    session = exactly_one(conn.execute("SELECT pg_backend_pid()"))
    with dedicated_connection() as other:
        return exactly_one(other.execute("SELECT pg_backend_pid()")) == session


def require_database() -> None:
    """Exit with one line if PostgreSQL is unavailable. Commands call this first."""
    try:
        dedicated_connection().close()
    except OperationalError as error:
        raise SystemExit(f"PostgreSQL is unavailable: {describe(error)}") from None


def describe(error: Exception) -> str:
    """Return the error in one line. psycopg names host and port, not the password."""
    return " ".join(str(error).split())


@contextmanager
def closed_if_read_only(conn: Conn) -> Iterator[None]:
    """Close the connection and raise OperationalError if its server refuses to write, as after a failover.

    Another connection may reach the server that took over.
    """
    try:
        yield
    except ReadOnlySqlTransaction as error:
        conn.close()
        raise OperationalError("the server is read-only") from error


@contextmanager
def connection() -> Iterator[Conn]:
    """Yield a pooled connection in autocommit. The pool's own context would add a commit."""
    own = pool()
    conn = own.getconn()
    try:
        with closed_if_read_only(conn):
            yield conn
        for call in _calls_after_commit.pop(conn, ()):
            call()
    finally:
        _calls_after_commit.pop(conn, None)
        own.putconn(conn)


@contextmanager
def transaction() -> Iterator[Conn]:
    """Yield a pooled connection in a transaction. It commits at the end, and rolls back on any exception."""
    with connection() as conn, conn.transaction():
        yield conn


@contextmanager
def pipelined_transaction() -> Iterator[Conn]:
    """Yield a pooled connection in a transaction that waits only where a result is read: BEGIN travels with the first
    statement, COMMIT with the last ones. Their errors are raised at the end."""
    with connection() as conn, conn.pipeline(), conn.transaction():
        yield conn


def after_commit(conn: Conn, call: Callable[[], None]) -> None:
    """Call `call` when the connection goes back to its pool, and only if no error ended its use.

    So the transactions of a connection are committed by then. In autocommit, call it now: the last statement was
    committed.
    """
    is_pipelined = conn.pgconn.pipeline_status != PipelineStatus.OFF
    if is_pipelined or conn.info.transaction_status != TransactionStatus.IDLE:
        _calls_after_commit.setdefault(conn, []).append(call)
    else:
        call()


def exactly_one(cursor: Cursor[Row]) -> Row:
    """Return the row of a statement that always returns one."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the statement returned no row")
    return row


def close_pool() -> None:
    """Close this process's pool, if it opened one."""
    if (opened := pool.reset()) is not None:
        opened.close()


def pop_pool_statistics() -> dict[str, int]:
    """Return the statistics of this process's pool since the last call. Empty if it opened none."""
    opened = pool.peek()
    return {} if opened is None else opened.pop_stats()


def terminate_stalled_transactions(conn: Conn, seconds: float) -> int:
    """Terminate Waymark's transactions whose process has sent nothing for `seconds`. Return their number.

    Such a process was halted, or its machine was. Its locks block others.

    PostgreSQL's own idle_in_transaction_session_timeout overlooks them: the Flush behind a pipeline's Sync disarms it.
    """
    return conn.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND application_name = 'waymark'
          AND xact_start IS NOT NULL AND wait_event = 'ClientRead'
          AND state_change < now() - make_interval(secs => %(seconds)s)
        """,
        {"seconds": seconds},
    ).rowcount
