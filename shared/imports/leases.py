"""Who works on an import: leased to one worker at a time, whose every write is fenced by the lease's token.

A claim is committed at once, so that an import which kills its workers is known by its attempts. They are counted anew
whenever it gets on: a file of many chunks outlives as many restarts as it takes.
"""

from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.imports.rules import MAX_ATTEMPTS, ImportJob
from shared.imports.store import COLUMNS
from shared.infra.db import Conn
from shared.infra.leases import LeaseLost

UNCLAIMED = "finished_at IS NULL AND (lease_until IS NULL OR lease_until <= now())"
"""Open, and nobody works on it."""
STILL_OURS = "lease_token = %(token)s AND finished_at IS NULL"


def claim(conn: Conn, token: UUID, lease: timedelta) -> ImportJob | None:
    """Lease the import that was tried least, the oldest of those. SKIP LOCKED: one that is being worked on is not
    waited for, even if its lease is over."""
    with conn.cursor(row_factory=class_row(ImportJob)) as cursor:
        return cursor.execute(
            f"""
            UPDATE imports
            SET status = 'running', lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1
            WHERE id = (SELECT id FROM imports WHERE {UNCLAIMED} AND attempts < {MAX_ATTEMPTS}
                        ORDER BY attempts, id LIMIT 1
                        FOR UPDATE SKIP LOCKED)
            RETURNING {COLUMNS}
            """,  # noqa: S608 - constants
            {"token": token, "lease": lease},
        ).fetchone()


def renew_lease(conn: Conn, import_id: UUID, token: UUID, lease: timedelta) -> ImportJob:
    """Keep the import for another lease from now; in a transaction, from everybody until its end. Raises LeaseLost."""
    with conn.cursor(row_factory=class_row(ImportJob)) as cursor:
        held = cursor.execute(
            f"""
            UPDATE imports SET lease_until = now() + %(lease)s WHERE id = %(id)s AND {STILL_OURS} RETURNING {COLUMNS}
            """,  # noqa: S608 - constants
            {"id": import_id, "token": token, "lease": lease},
        ).fetchone()
    if held is None:
        raise LeaseLost
    return held


def record_progress(conn: Conn, import_id: UUID, *, validated: int, failed: int, line: int) -> None:
    """Note that so many rows more were looked at, up to this line."""
    conn.execute(
        """
        UPDATE imports SET validated_rows = validated_rows + %s, failed = failed + %s, last_validated_line = %s,
                           attempts = 1
        WHERE id = %s
        """,
        (validated, failed, line, import_id),
    )


def give_back(conn: Conn, token: UUID) -> None:
    """End a lease as if it had never been: the worker stops, or PostgreSQL failed it."""
    conn.execute(
        f"""
        UPDATE imports SET lease_token = NULL, lease_until = NULL, attempts = attempts - 1 WHERE {STILL_OURS}
        """,  # noqa: S608 - a constant
        {"token": token},
    )


def suspect(conn: Conn, token: UUID, reason: str) -> None:
    """End a lease at once, attempt and all: something is wrong with this import."""
    conn.execute(
        f"UPDATE imports SET lease_token = NULL, lease_until = NULL, last_error = %(error)s WHERE {STILL_OURS}",  # noqa: S608 - a constant
        {"token": token, "error": reason},
    )


def spent(conn: Conn) -> UUID | None:
    """An import that was tried too often, kept for this transaction. One whose worker never spoke died with it."""
    row = conn.execute(
        f"""
        UPDATE imports SET last_error = coalesce(last_error, 'its worker did not come back')
        WHERE id = (SELECT id FROM imports WHERE {UNCLAIMED} AND attempts >= {MAX_ATTEMPTS}
                    ORDER BY id LIMIT 1
                    FOR UPDATE SKIP LOCKED)
        RETURNING id
        """  # noqa: S608 - constants
    ).fetchone()
    return None if row is None else row[0]
