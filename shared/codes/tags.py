"""Tags of an organization's codes, in PostgreSQL."""

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn


@dataclass(frozen=True)
class TagCount:
    """A tag, and the number of codes that have it."""

    tag: str
    codes: int


def list_for_organization(conn: Conn, org_id: UUID, prefix: str, *, limit: int, after: str = "") -> list[TagCount]:
    """Return the tags that start with `prefix`, in any case. They are in order, after the tag `after`."""
    with conn.cursor(row_factory=class_row(TagCount)) as cursor:
        return cursor.execute(
            """
            SELECT tag, count(*) AS codes FROM qr_codes q CROSS JOIN LATERAL unnest(q.tags) tag
            WHERE q.org_id = %(org_id)s AND q.deleted_at IS NULL
              AND starts_with(lower(tag), lower(%(prefix)s)) AND tag > %(after)s
            GROUP BY tag ORDER BY tag LIMIT %(limit)s
            """,
            {"org_id": org_id, "prefix": prefix, "limit": limit, "after": after},
        ).fetchall()
