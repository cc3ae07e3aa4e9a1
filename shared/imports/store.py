"""Imports in PostgreSQL: created, worked on, finished, and purged some days later."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row, scalar_row

from shared.errors import TooManyImports
from shared.imports.rules import MAX_OPEN_IMPORTS, MAX_OUTCOMES, STATUS_OF_VALID_ROW, FinalStatus, ImportJob
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import uuid7
from shared.infra.leases import LeasedTable

RETENTION = timedelta(days=7)
"""After its end, an import and its outcome are purged."""
PENDING_IMPORTS = LeasedTable(
    name="imports",
    columns="""
        id, org_id, partial, dry_run, columns, status, total, validated_rows, last_validated_line, done, failed,
        message, outcomes, attempts
    """,
    row=class_row(ImportJob),
    pending="finished_at IS NULL",
    is_fair=True,
)


def check_open(conn: Conn, org_id: UUID, *, more: int = 0) -> None:
    """Raise TooManyImports if the organization has more than MAX_OPEN_IMPORTS open imports, with `more` to come.

    Exact in a transaction that has added its own import, and then locked the organization's usage.
    """
    (count,) = exactly_one(
        conn.execute(
            "SELECT count(*) FROM imports WHERE org_id = %(org_id)s AND finished_at IS NULL", {"org_id": org_id}
        )
    )
    if count + more > MAX_OPEN_IMPORTS:
        raise TooManyImports


def create(
    conn: Conn,
    org_id: UUID,
    columns: Sequence[str] = (),
    *,
    partial: bool,
    dry_run: bool = False,
    validated_rows: int = 0,
) -> ImportJob:
    """Insert an import. The caller stages its rows in the same transaction: `validated_rows` of them as candidates."""
    with conn.cursor(row_factory=class_row(ImportJob)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                INSERT INTO imports (id, org_id, columns, partial, dry_run, total, validated_rows)
                VALUES (%(id)s, %(org_id)s, %(columns)s, %(partial)s, %(dry_run)s, %(validated_rows)s,
                        %(validated_rows)s)
                RETURNING id, org_id, partial, dry_run, columns, status, total, validated_rows, last_validated_line,
                          done, failed, message, outcomes, attempts
                """,
                {
                    "id": uuid7(),
                    "org_id": org_id,
                    "columns": list(columns),
                    "partial": partial,
                    "dry_run": dry_run,
                    "validated_rows": validated_rows,
                },
            )
        )


def set_total(conn: Conn, import_id: UUID, total: int) -> None:
    """Store the number of rows, once they are counted."""
    conn.execute("UPDATE imports SET total = %(total)s WHERE id = %(id)s", {"id": import_id, "total": total})


def find(conn: Conn, org_id: UUID, import_id: UUID) -> ImportJob | None:
    """Return an import of this organization."""
    with conn.cursor(row_factory=class_row(ImportJob)) as cursor:
        return cursor.execute(
            """
            SELECT id, org_id, partial, dry_run, columns, status, total, validated_rows, last_validated_line, done,
                   failed, message, outcomes, attempts
            FROM imports WHERE org_id = %(org_id)s AND id = %(id)s
            """,
            {"org_id": org_id, "id": import_id},
        ).fetchone()


def list_failures(conn: Conn, import_id: UUID) -> list[dict[str, Any]]:
    """Return the invalid rows of an unfinished import that were found so far, up to MAX_OUTCOMES."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT line, 'failed' AS status, field, message, code, NULL AS qr_id, '{}'::text[] AS warnings
            FROM import_candidates
            WHERE import_id = %(id)s AND message IS NOT NULL
            ORDER BY line LIMIT %(limit)s
            """,
            {"id": import_id, "limit": MAX_OUTCOMES},
        ).fetchall()


def start(conn: Conn, import_id: UUID) -> None:
    """Give a queued import the status `running`."""
    conn.execute("UPDATE imports SET status = 'running' WHERE id = %(id)s AND status = 'queued'", {"id": import_id})


def record_progress(conn: Conn, import_id: UUID, *, validated: int, failed: int, line: int) -> None:
    """Count rows that were validated, up to this line, and end the lease: the next import may have its turn.

    Attempts are counted since the last progress.
    """
    conn.execute(
        """
        UPDATE imports
        SET validated_rows = validated_rows + %(validated)s, failed = failed + %(failed)s,
            last_validated_line = %(line)s, attempts = 0, lease_token = NULL, lease_until = NULL
        WHERE id = %(id)s
        """,
        {"id": import_id, "validated": validated, "failed": failed, "line": line},
    )


def finish(conn: Conn, import_id: UUID, status: FinalStatus, message: str | None = None) -> None:
    """End an import: store its counts and the outcome of its first rows, failures first, and delete the staged rows.

    `message` says why no code was added, or would be. A generated text is listed only with the code that has it.
    """
    conn.execute(
        """
        UPDATE imports
        SET (done, failed) = (
                SELECT count(*) FILTER (WHERE c.message IS NULL AND %(added)s),
                       count(*) FILTER (WHERE c.message IS NOT NULL)
                FROM import_candidates c WHERE c.import_id = %(id)s
            ),
            outcomes = (
                SELECT coalesce(jsonb_agg(o), '[]') FROM (
                    SELECT line, CASE WHEN message IS NOT NULL THEN 'failed' ELSE %(status_of_valid)s END AS status,
                           field, message, CASE WHEN %(added)s OR NOT is_generated THEN code END AS code,
                           CASE WHEN message IS NULL AND %(added)s THEN id END AS qr_id,
                           CASE WHEN message IS NULL THEN warnings ELSE '{}' END AS warnings
                    FROM import_candidates WHERE import_id = %(id)s
                    ORDER BY message IS NULL, line LIMIT %(limit)s
                ) o
            ),
            status = %(status)s, message = %(message)s, finished_at = now(), lease_token = NULL, lease_until = NULL
        WHERE id = %(id)s
        """,
        {
            "id": import_id,
            "status": status,
            "status_of_valid": STATUS_OF_VALID_ROW[status],
            "added": status == "done",
            "message": message,
            "limit": MAX_OUTCOMES,
        },
    )
    conn.execute("DELETE FROM import_candidates WHERE import_id = %(id)s", {"id": import_id})
    conn.execute("DELETE FROM import_rows WHERE import_id = %(id)s", {"id": import_id})


def purge(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` imports whose retention has ended. Return how many."""
    return conn.execute(
        """
        DELETE FROM imports WHERE id = ANY (ARRAY (
            SELECT id FROM imports WHERE finished_at < now() - %(retention)s
            ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ))
        """,
        {"retention": RETENTION, "limit": limit},
    ).rowcount


def erase_organization(conn: Conn, org_id: UUID, after: UUID, *, limit: int) -> UUID | None:
    """Delete up to `limit` imports of the organization with an id above `after`, open ones too.

    Return the last id, or None after the end. A worker that still works on one of them has lost its lease.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        last: UUID | None = cursor.execute(
            """
        WITH deleted_imports AS (
            DELETE FROM imports WHERE id = ANY (ARRAY (
                SELECT id FROM imports WHERE org_id = %(org_id)s AND id > %(after)s ORDER BY id LIMIT %(limit)s
                FOR UPDATE
            ))
            RETURNING id
        )
        SELECT id FROM deleted_imports ORDER BY id DESC LIMIT 1
        """,
            {"org_id": org_id, "after": after, "limit": limit},
        ).fetchone()
    return last
