"""Selection of the codes of a render, in PostgreSQL."""

from collections.abc import Sequence
from uuid import UUID

from shared.infra.db import Conn, exactly_one
from shared.renders.rules import MAX_CODES

# `ANY` of one organization keeps it in the order: sorted by the id alone, a plan may walk the primary key through the
# rows of every organization.
SELECT_CODE_IDS = """
    SELECT id FROM qr_codes
    WHERE org_id = ANY (ARRAY[%(org_id)s::uuid]) AND deleted_at IS NULL
      AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s::text])
    ORDER BY org_id, id LIMIT %(limit)s
"""


def select_code_ids(conn: Conn, org_id: UUID, tag: str | None) -> list[UUID]:
    """Return the codes of an organization, or those with a tag, in order of creation.

    At most MAX_CODES + 1 are returned, so that the caller can detect too many.
    """
    rows = conn.execute(SELECT_CODE_IDS, {"org_id": org_id, "tag": tag, "limit": MAX_CODES + 1}).fetchall()
    return [row[0] for row in rows]


def find_unknown_indexes(conn: Conn, org_id: UUID, qr_ids: Sequence[UUID], *, limit: int) -> list[int]:
    """Return up to `limit` indexes of ids that are not codes of the organization."""
    rows = conn.execute(
        """
        SELECT requested.number FROM unnest(%(qr_ids)s::uuid[]) WITH ORDINALITY requested (id, number)
        WHERE NOT EXISTS (
            SELECT FROM qr_codes q WHERE q.id = requested.id AND q.org_id = %(org_id)s AND q.deleted_at IS NULL
        )
        ORDER BY requested.number LIMIT %(limit)s
        """,
        {"qr_ids": list(qr_ids), "org_id": org_id, "limit": limit},
    ).fetchall()
    return [int(row[0]) - 1 for row in rows]


def find_rotating_indexes(conn: Conn, qr_ids: Sequence[UUID], *, limit: int) -> list[int]:
    """Return up to `limit` indexes of codes that rotate. Only screens show them."""
    rows = conn.execute(
        """
        SELECT requested.number FROM unnest(%(qr_ids)s::uuid[]) WITH ORDINALITY requested (id, number)
        JOIN qr_codes q USING (id) WHERE q.rotating
        ORDER BY requested.number LIMIT %(limit)s
        """,
        {"qr_ids": list(qr_ids), "limit": limit},
    ).fetchall()
    return [int(row[0]) - 1 for row in rows]


def has_printable(conn: Conn, qr_ids: Sequence[UUID]) -> bool:
    """Return whether any of these codes does not rotate."""
    return bool(
        exactly_one(
            conn.execute(
                "SELECT EXISTS (SELECT FROM qr_codes WHERE id = ANY (%(qr_ids)s) AND NOT rotating)",
                {"qr_ids": list(qr_ids)},
            )
        )[0]
    )
