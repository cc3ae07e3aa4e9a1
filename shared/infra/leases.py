"""Leases: a worker's time-limited right to pending rows, fenced by a token. The one implementation for all tables.

A leased table has the columns `id`, `attempts`, `lease_token`, `lease_until` and `last_error`. A pending row is

- new: `lease_until` is null. `claim_new` leases many of them at a time.
- leased: `lease_until` is in the future. Its worker renews, releases or fails the lease, or settles the row.
- expired: its worker crashed, or failed the lease. `claim_retry` leases one at a time, the least tried first, so that
  one bad row cannot fail a second batch.
- exhausted: expired after `max_attempts` attempts. `claim_exhausted` leases it once more, to dead-letter it.

A claim is committed before the work starts, and counts the attempt: a row that kills its worker runs out of attempts.
The transaction that settles rows starts with `lock_held`. A worker that was halted for longer than its lease finds
its rows in other hands, and writes nothing.

Only the constants of a LeasedTable vary in these statements. They are the one exception to static SQL: six statements
for each table, composed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Generic, LiteralString, Protocol, TypeVar
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import BaseRowFactory

from shared.infra.db import Conn, exactly_one


class LeasedRow(Protocol):
    """A row of any leased table."""

    @property
    def id(self) -> UUID: ...


T = TypeVar("T", bound=LeasedRow)
CRASHED = "The worker crashed."
"""The `last_error` of an exhausted row whose last worker reported nothing."""
MAX_ERROR_LENGTH = 500


class LeaseLost(Exception):
    """Another worker holds the lease, or the row no longer needs work."""


@dataclass(frozen=True, kw_only=True)
class LeasedTable(Generic[T]):
    """A table of pending work. Every field but `row` is SQL text that the source code contains.

    `row` makes a T from `columns`. `pending` is the condition of rows that need work, and `order` is their order. The
    rows of a fair table are claimed by `fair_claims`.
    """

    name: LiteralString
    columns: LiteralString
    row: BaseRowFactory[T]
    pending: LiteralString = "status = 'pending'"
    order: LiteralString = "id"
    max_attempts: int = 3
    is_fair: bool = False


# SKIP LOCKED lets several workers claim side by side. A claim does not wait for the disk: if PostgreSQL crashes and
# loses it, the row is claimed again, and the effects of the work are committed after it.
CLAIM_NEW: LiteralString = """
    UPDATE {table}
    SET lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1
    FROM (SELECT set_config('synchronous_commit', 'off', true)) asynchronous
    WHERE id = ANY (ARRAY (
        SELECT id FROM {table} WHERE {pending} AND lease_until IS NULL
        ORDER BY {order} LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
    ))
    RETURNING {columns}
"""
CLAIM_EXPIRED: LiteralString = """
    UPDATE {table}
    SET lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1,
        last_error = CASE WHEN %(exhausted)s THEN coalesce(last_error, %(crashed)s) END
    FROM (SELECT set_config('synchronous_commit', 'off', true)) asynchronous
    WHERE id = ANY (ARRAY (
        SELECT id FROM {table}
        WHERE {pending} AND lease_until <= now() AND (attempts >= %(max_attempts)s) = %(exhausted)s
        ORDER BY attempts, {order} LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
    ))
    RETURNING {columns}
"""
HAS_EXPIRED: LiteralString = "SELECT EXISTS (SELECT FROM {table} WHERE {pending} AND lease_until <= now())"
# In the order of ids, so that two workers never wait for each other.
LOCK_HELD: LiteralString = """
    SELECT id FROM {table} WHERE id = ANY (%(ids)b) AND lease_token = %(token)s AND {pending}
    ORDER BY id FOR NO KEY UPDATE
"""
RENEW: LiteralString = """
    UPDATE {table} SET lease_until = now() + %(lease)s
    WHERE id = %(id)s AND lease_token = %(token)s AND {pending}
    RETURNING {columns}
"""
RELEASE: LiteralString = """
    UPDATE {table}
    SET lease_token = NULL, lease_until = CASE WHEN attempts > 1 THEN now() END, attempts = attempts - 1
    WHERE lease_token = %(token)s AND {pending}
"""
FAIL: LiteralString = """
    UPDATE {table} SET lease_token = NULL, lease_until = now(), last_error = %(error)s
    WHERE id = ANY (%(ids)s) AND lease_token = %(token)s AND {pending}
"""
RETRY_LATER: LiteralString = """
    UPDATE {table}
    SET lease_token = NULL, lease_until = now() + %(pause)s * (2 ^ storage_failures), attempts = attempts - 1,
        storage_failures = storage_failures + 1, last_error = %(error)s
    WHERE id = %(id)s AND lease_token = %(token)s AND {pending}
    RETURNING storage_failures
"""


@cache
def statement(text: LiteralString, table: LeasedTable[Any]) -> bytes:
    """Return the statement with the constants of this table."""
    return (
        sql.SQL(text)
        .format(
            table=sql.Identifier(table.name),
            columns=sql.SQL(table.columns),
            pending=sql.SQL(f"({table.pending})"),
            order=sql.SQL(table.order),
        )
        .as_bytes()
    )


def claim_new(conn: Conn, table: LeasedTable[T], token: UUID, lease: timedelta, *, limit: int) -> list[T]:
    """Lease up to `limit` rows that no worker has tried, the first by `order`. Return them in no order."""
    with conn.cursor(row_factory=table.row) as cursor:
        params = {"token": token, "lease": lease, "limit": limit}
        # Binary results of a batch are read in half the time.
        return cursor.execute(statement(CLAIM_NEW, table), params, binary=True).fetchall()


def claim_retry(conn: Conn, table: LeasedTable[T], token: UUID, lease: timedelta) -> list[T]:
    """Lease one expired row that has attempts left, the least tried first. Return it in a list, which may be empty."""
    return _claim_expired(conn, table, token, lease, limit=1, exhausted=False)


def claim_exhausted(conn: Conn, table: LeasedTable[T], token: UUID, lease: timedelta, *, limit: int) -> list[T]:
    """Lease up to `limit` expired rows without attempts left, to dead-letter them. Their `last_error` is set."""
    return _claim_expired(conn, table, token, lease, limit=limit, exhausted=True)


def _claim_expired(
    conn: Conn, table: LeasedTable[T], token: UUID, lease: timedelta, *, limit: int, exhausted: bool
) -> list[T]:
    params = {"token": token, "lease": lease, "limit": limit, "exhausted": exhausted, "crashed": CRASHED}
    with conn.cursor(row_factory=table.row) as cursor:
        return cursor.execute(
            statement(CLAIM_EXPIRED, table), params | {"max_attempts": table.max_attempts}, binary=True
        ).fetchall()


def has_expired(conn: Conn, table: LeasedTable[Any]) -> bool:
    """True if the lease of any pending row has expired."""
    return bool(exactly_one(conn.execute(statement(HAS_EXPIRED, table)))[0])


def lock_held(conn: Conn, table: LeasedTable[Any], token: UUID, ids: Sequence[UUID]) -> Cursor[tuple[Any, ...]]:
    """Lock those of these rows that are still leased under this token, until the transaction ends. Return their ids as
    a cursor, which a pipeline can read later.

    This is the fence: a transaction that settles rows settles the locked ones only.
    """
    return conn.execute(statement(LOCK_HELD, table), {"ids": list(ids), "token": token})


def lock_one(conn: Conn, table: LeasedTable[Any], token: UUID, row_id: UUID) -> None:
    """Lock a row that is leased under this token, until the transaction ends. Raise LeaseLost if it is not."""
    if not lock_held(conn, table, token, [row_id]).rowcount:
        raise LeaseLost


def renew_lease(conn: Conn, table: LeasedTable[T], token: UUID, row_id: UUID, lease: timedelta) -> T:
    """Extend the lease of a row: a heartbeat. Return the row as it is now. Raise LeaseLost if it is no longer held."""
    with conn.cursor(row_factory=table.row) as cursor:
        row = cursor.execute(
            statement(RENEW, table), {"id": row_id, "token": token, "lease": lease}, binary=True
        ).fetchone()
    if row is None:
        raise LeaseLost
    return row


def release_lease(conn: Conn, table: LeasedTable[Any], token: UUID) -> None:
    """End the leases of this token without counting the attempt: the worker stops, or PostgreSQL was unavailable."""
    conn.execute(statement(RELEASE, table), {"token": token})


def fail_lease(conn: Conn, table: LeasedTable[Any], token: UUID, ids: Sequence[UUID], error: str) -> None:
    """End the leases of these rows now and keep the attempt counted: the work failed. Each row is retried alone."""
    conn.execute(statement(FAIL, table), {"token": token, "ids": list(ids), "error": error[:MAX_ERROR_LENGTH]})


def retry_later(conn: Conn, table: LeasedTable[Any], token: UUID, row_id: UUID, pause: timedelta, error: str) -> int:
    """End the lease of a row without counting the attempt: the file storage failed. It is due after a pause that
    doubles with each failure. Return how many times the storage has failed. Raise LeaseLost if it is no longer held.

    Needs the column `storage_failures`.
    """
    row = conn.execute(
        statement(RETRY_LATER, table), {"id": row_id, "token": token, "pause": pause, "error": error}
    ).fetchone()
    if row is None:
        raise LeaseLost
    return int(row[0])
