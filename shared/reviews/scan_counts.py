"""How many scans of an organization's codes there are."""

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.reviews.scan_list import ScanFilter, to_parameters


@dataclass(frozen=True)
class ScanCount:
    """The number of scans that satisfy the conditions. Not `is_exact`: of those that were read, there are more."""

    count: int
    is_exact: bool


# Each statement reads ranges of an index, as a page of the list does, until enough rows were read. The other conditions
# filter these rows. They are executed without being prepared, so that conditions that are null are left out.
BY_VERDICT = """
    SELECT count(*) FILTER (WHERE %(code_ids)s::uuid[] IS NULL OR qr_code_id = ANY (%(code_ids)s)) AS count,
           count(*) < %(limit)s AS is_exact
    FROM (
        SELECT s.qr_code_id
        FROM unnest(%(statuses)s::text[], %(reasons)s::text[]) AS verdicts (status, reason)
        CROSS JOIN LATERAL (
            SELECT s.qr_code_id FROM player_scans s
            WHERE s.org_id = %(org_id)s AND s.status = verdicts.status AND coalesce(s.reason, '') = verdicts.reason
              AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s) AND s.scan_time >= %(since)s
            ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
        ) s
        LIMIT %(limit)s
    ) scans
"""
BY_CODE = """
    SELECT count(*) FILTER (
               WHERE (%(status)s::text IS NULL OR status = %(status)s)
                 AND (%(reason)s::text IS NULL OR reason = %(reason)s)
           ) AS count,
           count(*) < %(limit)s AS is_exact
    FROM (
        SELECT s.status, s.reason
        FROM unnest(%(code_ids)s::uuid[]) AS codes (id)
        CROSS JOIN LATERAL (
            SELECT s.status, s.reason FROM player_scans s
            WHERE s.qr_code_id = codes.id AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s)
              AND s.scan_time >= %(since)s
            ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
        ) s
        LIMIT %(limit)s
    ) scans
"""
BY_PLAYER = """
    SELECT count(*) FILTER (
               WHERE (%(code_ids)s::uuid[] IS NULL OR qr_code_id = ANY (%(code_ids)s))
                 AND (%(status)s::text IS NULL OR status = %(status)s)
                 AND (%(reason)s::text IS NULL OR reason = %(reason)s)
           ) AS count,
           count(*) < %(limit)s AS is_exact
    FROM (
        SELECT s.qr_code_id, s.status, s.reason FROM player_scans s
        WHERE s.player_id = %(player_id)s AND NOT s.outside_history AND s.org_id = %(org_id)s
          AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s) AND s.scan_time >= %(since)s
        ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
    ) scans
"""


def count_scans(conn: Conn, org_id: UUID, conditions: ScanFilter, *, max_read: int) -> ScanCount:
    """Return how many scans the list has. Read up to `max_read` scans."""
    params = to_parameters(conn, org_id, conditions, max_read + 1)
    if params is None:
        return ScanCount(0, is_exact=True)
    with conn.cursor(row_factory=class_row(ScanCount)) as cursor:
        if conditions.player_id is not None:
            return exactly_one(cursor.execute(BY_PLAYER, params, prepare=False))
        # Few scans are pending: those of all codes are read.
        if params["code_ids"] is not None and conditions.status != "pending":
            return exactly_one(cursor.execute(BY_CODE, params, prepare=False))
        return exactly_one(cursor.execute(BY_VERDICT, params, prepare=False))


def count_held(conn: Conn, org_id: UUID, *, limit: int | None = None) -> int:
    """Return how many scans of the organization's codes are held. It counts up to `limit`."""
    (held,) = exactly_one(
        conn.execute(
            """
            SELECT count(*) FROM (
                SELECT FROM player_scans WHERE org_id = %(org_id)s AND status = 'held' LIMIT %(limit)s
            ) held
            """,
            {"org_id": org_id, "limit": limit},
        )
    )
    return int(held)
