"""Imports in PostgreSQL: begun, looked up, and forgotten some days after they are over."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row

from shared.imports.rules import MAX_OUTCOMES, ImportJob
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import uuid7

KEPT = "7 days"
COLUMNS = """
    id, org_id, partial, columns, status, total, validated_rows, last_validated_line, done, failed, message, outcomes,
    attempts
"""
OUTCOMES = f"""
    SELECT line, CASE WHEN message IS NOT NULL THEN 'failed' WHEN %(added)s THEN 'added' ELSE 'not_added' END AS status,
           field, message, code, CASE WHEN message IS NULL AND %(added)s THEN id END AS qr_id
    FROM import_candidates
    WHERE import_id = %(id)s AND (message IS NOT NULL OR %(is_over)s)
    ORDER BY message IS NULL, line
    LIMIT {MAX_OUTCOMES}
"""  # noqa: S608 - a constant
"""What became of rows, failures first; until an import is over only failures are known."""


def create(
    conn: Conn, org_id: UUID, columns: Sequence[str] = (), *, partial: bool, validated_rows: int = 0
) -> ImportJob:
    """A new import, whose rows are to be put beside it in the same transaction: `validated_rows` of them as codes."""
    with conn.cursor(row_factory=class_row(ImportJob)) as cursor:
        return exactly_one(
            cursor.execute(
                f"""
                INSERT INTO imports (id, org_id, columns, partial, total, validated_rows)
                VALUES (%s, %s, %s, %s, %s, %s)
                RETURNING {COLUMNS}
                """,  # noqa: S608 - a constant
                (uuid7(), org_id, list(columns), partial, validated_rows, validated_rows),
            )
        )


def set_total(conn: Conn, import_id: UUID, total: int) -> None:
    """How many rows there are, now that they were counted."""
    conn.execute("UPDATE imports SET total = %s WHERE id = %s", (total, import_id))


def find(conn: Conn, org_id: UUID, import_id: UUID) -> ImportJob | None:
    """An import of an organization, with what is known of its rows."""
    with conn.cursor(row_factory=class_row(ImportJob)) as cursor:
        return cursor.execute(
            f"SELECT {COLUMNS} FROM imports WHERE org_id = %s AND id = %s",  # noqa: S608 - a constant
            (org_id, import_id),
        ).fetchone()


def list_failures(conn: Conn, import_id: UUID) -> list[dict[str, Any]]:
    """The rows of an import under way that were found to be wrong so far."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(OUTCOMES, {"id": import_id, "added": False, "is_over": False}).fetchall()


def finish(conn: Conn, import_id: UUID, *, added: bool, message: str | None = None) -> None:
    """End an import: count, keep the outcome of its first rows, and take all of them away. `message` says why nothing
    was added, where nothing was."""
    conn.execute(
        f"""
        UPDATE imports
        SET (done, failed) = (SELECT count(*) FILTER (WHERE c.message IS NULL AND %(added)s),
                                     count(*) FILTER (WHERE c.message IS NOT NULL)
                              FROM import_candidates c WHERE c.import_id = %(id)s),
            outcomes = (SELECT coalesce(jsonb_agg(o), '[]') FROM ({OUTCOMES}) o),
            status = CASE WHEN %(added)s THEN 'done' ELSE 'failed' END, message = %(message)s,
            finished_at = now(), lease_token = NULL, lease_until = NULL
        WHERE id = %(id)s
        """,  # noqa: S608 - a constant
        {"id": import_id, "added": added, "is_over": True, "message": message},
    )
    conn.execute("DELETE FROM import_candidates WHERE import_id = %s", (import_id,))
    conn.execute("DELETE FROM import_rows WHERE import_id = %s", (import_id,))


def forget(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` imports that have been over for long. Returns how many."""
    return conn.execute(
        f"""
        DELETE FROM imports WHERE id = ANY (ARRAY (
            SELECT id FROM imports WHERE finished_at < now() - interval '{KEPT}'
            ORDER BY finished_at LIMIT %s
            FOR UPDATE SKIP LOCKED
        ))
        """,  # noqa: S608 - a constant
        (limit,),
    ).rowcount
