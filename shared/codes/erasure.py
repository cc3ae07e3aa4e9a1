"""Erasure of an organization's codes. They stay as tombstones: scans refer to them, and their texts stay in use."""

from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra.db import Conn


def erase_organization(conn: Conn, org_id: UUID, after: UUID, *, limit: int) -> UUID | None:
    """Delete up to `limit` codes of the organization with an id above `after`, and all that they define.

    Deleted codes lose what they define, too. Return the last id, or None after the end.
    """
    # Each half of the page reads one of two partial indexes. Codes with a stock are locked first, as workers lock
    # them.
    with conn.cursor(row_factory=scalar_row) as cursor:
        last: UUID | None = cursor.execute(
            """
            WITH page AS MATERIALIZED (
                SELECT id FROM (
                    (SELECT id FROM qr_codes
                     WHERE org_id = ANY (ARRAY[%(org_id)s::uuid]) AND deleted_at IS NULL AND id > %(after)s
                     ORDER BY org_id, id LIMIT %(limit)s)
                    UNION ALL
                    (SELECT id FROM qr_codes
                     WHERE org_id = ANY (ARRAY[%(org_id)s::uuid]) AND deleted_at IS NOT NULL AND id > %(after)s
                     ORDER BY org_id, id LIMIT %(limit)s)
                ) codes ORDER BY id LIMIT %(limit)s
            ), locked_codes AS MATERIALIZED (
                SELECT q.id FROM qr_codes q JOIN page USING (id)
                ORDER BY q.max_scans IS NULL, q.id FOR NO KEY UPDATE OF q
            ), deleted_customizations AS (
                DELETE FROM qr_customizations USING locked_codes l WHERE qr_code_id = l.id
            ), deleted_encounters AS (
                DELETE FROM encounters USING locked_codes l WHERE qr_code_id = l.id
            ), deleted_screens AS (
                DELETE FROM code_screens USING locked_codes l WHERE qr_code_id = l.id
            ), erased_codes AS (
                UPDATE qr_codes q
                SET description = '', requires_location = false, latitude = NULL, longitude = NULL, reward_item = NULL,
                    reward_quantity = NULL, destination_id = NULL, target_url = NULL, active = false,
                    rotating = false, tags = '{}', deleted_at = coalesce(q.deleted_at, now()), updated_at = now()
                FROM locked_codes l WHERE q.id = l.id
            )
            SELECT id FROM page ORDER BY id DESC LIMIT 1
            """,
            {"org_id": org_id, "after": after, "limit": limit},
        ).fetchone()
    return last
