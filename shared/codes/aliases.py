"""Aliases of codes in PostgreSQL: the texts that a code had before it was renamed, and that still lead to it."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from shared.codes.rules import CODE_PATTERN
from shared.infra.db import Conn


@dataclass(frozen=True)
class Alias:
    """A former text of a code. `created_at` is when it was first used."""

    code: str
    created_at: datetime


def list_for_code(conn: Conn, qr_id: UUID, *, limit: int, after: str = "") -> list[Alias]:
    """Return the aliases of a code, in the order of their texts, after the text `after`."""
    with conn.cursor(row_factory=class_row(Alias)) as cursor:
        return cursor.execute(
            """
            SELECT t.code, t.created_at FROM code_texts t JOIN qr_codes q ON q.id = t.qr_code_id
            WHERE q.id = %(qr_id)s AND t.code <> q.code AND t.code > %(after)s
            ORDER BY t.code LIMIT %(limit)s
            """,
            {"qr_id": qr_id, "after": after, "limit": limit},
        ).fetchall()


def delete(conn: Conn, qr_id: UUID, alias: str) -> bool:
    """Let an alias of a code lead nowhere. Return False if the code has no such alias."""
    if not re.fullmatch(CODE_PATTERN, alias):
        return False
    # FOR UPDATE waits for renames of the code, and for imports that look up destinations: they hold KEY SHARE.
    conn.execute("SELECT FROM qr_codes WHERE id = %(qr_id)s FOR UPDATE", {"qr_id": qr_id})
    deleted = conn.execute(
        """
        UPDATE code_texts t SET qr_code_id = NULL FROM qr_codes q
        WHERE t.code = %(alias)s AND t.qr_code_id = %(qr_id)s AND q.id = %(qr_id)s AND t.code <> q.code
        """,
        {"alias": alias, "qr_id": qr_id},
    )
    return deleted.rowcount == 1
