"""Queries of an export: all codes of an organization, page by page, up to the newest one at its start."""

from collections.abc import Collection
from uuid import UUID

from psycopg.rows import kwargs_row, scalar_row

from shared.codes.store import SELECT_CODE, StoredCode, to_stored_code
from shared.infra.db import Conn

# `ANY` of one organization keeps it in the order, as in SELECT_PAGE of shared/codes/store.py.
SELECT_RANGE = (
    SELECT_CODE
    + """
      AND q.org_id = ANY (ARRAY[%(org_id)s::uuid]) AND q.id > %(after)s AND q.id <= %(until)s
    ORDER BY q.org_id, q.id
    LIMIT %(limit)s
"""
)
SELECT_MAX_ID = """
    SELECT id FROM qr_codes WHERE org_id = ANY (ARRAY[%(org_id)s::uuid]) AND deleted_at IS NULL
    ORDER BY org_id DESC, id DESC LIMIT 1
"""


def list_range(conn: Conn, org_id: UUID, *, after: UUID, until: UUID, limit: int) -> list[StoredCode]:
    """Return codes of the organization with ids above `after`, up to `until` included, in order of id."""
    with conn.cursor(row_factory=kwargs_row(to_stored_code)) as cursor:
        return cursor.execute(
            SELECT_RANGE, {"org_id": org_id, "after": after, "until": until, "limit": limit}
        ).fetchall()


def max_id(conn: Conn, org_id: UUID) -> UUID | None:
    """Return the greatest id of the organization's codes, or None. It can be ahead of this server's clock."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        qr_id: UUID | None = cursor.execute(SELECT_MAX_ID, {"org_id": org_id}).fetchone()
    return qr_id


def find_existing(conn: Conn, org_id: UUID, texts: Collection[str], *, until: UUID) -> set[str]:
    """Return those of these texts that lead to codes of the organization with ids up to `until`."""
    rows = conn.execute(
        """
        SELECT t.code FROM code_texts t JOIN qr_codes q ON q.id = t.qr_code_id
        WHERE t.code = ANY(%(texts)s) AND q.org_id = %(org_id)s AND q.id <= %(until)s AND q.deleted_at IS NULL
        """,
        {"org_id": org_id, "texts": list(texts), "until": until},
    )
    return {row[0] for row in rows}
