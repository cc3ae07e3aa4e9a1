"""All-time statistics of a code or an organization, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.analytics.calendar import time_zone, utc_offsets
from shared.analytics.unaggregated import AS_OF, IS_COMPLETE, UNAGGREGATED, RollupSubject
from shared.infra.db import Conn, exactly_one

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Scans before this time have its offset. They were inserted by hand, and computing their offsets would take long."""


@dataclass(frozen=True)
class ScanStatistics:
    """Settled scans by verdict. Devices count all of them, reasons only failures. `is_complete` if `as_of` is now."""

    settled: int
    success: int
    failure: int
    held: int
    annulled: int
    phone: int
    tablet: int
    desktop: int
    other: int
    players: int
    reasons: Mapping[str, int]
    first_at: datetime | None
    last_at: datetime | None
    as_of: datetime
    is_complete: bool


@dataclass(frozen=True)
class VisitStatistics:
    """Visits by people. Crawlers, previews and prefetches count as `bots` only."""

    total: int
    bots: int
    phone: int
    tablet: int
    desktop: int
    other: int


@dataclass(frozen=True)
class Statistics:
    """Scans, visits and pending scans. `hours` are scans by the hour of the day in the requested time zone."""

    scans: ScanStatistics
    visits: VisitStatistics
    pending: int
    hours: Sequence[int]


SELECT_SCANS = (
    UNAGGREGATED
    + """
    SELECT coalesce(sum(count), 0)::bigint AS settled,
           coalesce(sum(success), 0)::bigint AS success,
           coalesce(sum(count - success - held - annulled), 0)::bigint AS failure,
           coalesce(sum(held), 0)::bigint AS held,
           coalesce(sum(annulled), 0)::bigint AS annulled,
           coalesce(sum(phone), 0)::bigint AS phone,
           coalesce(sum(tablet), 0)::bigint AS tablet,
           coalesce(sum(desktop), 0)::bigint AS desktop,
           coalesce(sum(other), 0)::bigint AS other,
           min(first_at) AS first_at,
           max(last_at) AS last_at,
           (SELECT count(*) FROM scan_all_time_players WHERE subject_id = %(subject)s) + (
               SELECT count(DISTINCT player_id) FROM deltas d WHERE count > 0 AND NOT EXISTS (
                   SELECT FROM scan_all_time_players e
                   WHERE e.subject_id = %(subject)s AND e.player_id = d.player_id
               )
           ) AS players,
           (SELECT coalesce(jsonb_object_agg(reason, count), '{}') FROM (
               SELECT reason, sum(count) AS count FROM (
                   SELECT reason, count FROM scan_rollup_daily_reasons WHERE subject_id = %(subject)s
                   UNION ALL
                   SELECT reason, 1 FROM deltas WHERE reason IS NOT NULL
               ) counted_reasons
               GROUP BY reason
           ) reasons) AS reasons,
    """
    + AS_OF
    + " AS as_of, "
    + IS_COMPLETE
    + """ AS is_complete
    FROM (
        SELECT count, success, held, annulled, phone, tablet, desktop, other, first_at, last_at
        FROM scan_rollup_daily WHERE subject_id = %(subject)s
        UNION ALL
        SELECT count, success, held, annulled, phone, tablet, desktop, other, dated, dated FROM deltas
    ) counted
    """
)
SELECT_VISITS = (
    UNAGGREGATED
    + """
    SELECT coalesce(sum(count), 0)::bigint AS total, coalesce(sum(bots), 0)::bigint AS bots,
           coalesce(sum(phone), 0)::bigint AS phone, coalesce(sum(tablet), 0)::bigint AS tablet,
           coalesce(sum(desktop), 0)::bigint AS desktop, coalesce(sum(other), 0)::bigint AS other
    FROM (
        SELECT count, bots, phone, tablet, desktop, other FROM visit_rollup_daily WHERE subject_id = %(subject)s
        UNION ALL
        SELECT count, bots, phone, tablet, desktop, other FROM visit_deltas
    ) counted
    """
)
# Scans with a later time were inserted by hand. They get the offset of tomorrow.
SELECT_SPAN = (
    UNAGGREGATED
    + """
    SELECT least((SELECT min(at) FROM scan_rollup_15m WHERE subject_id = %(subject)s), min(scan_time)),
           least(greatest((SELECT max(at) FROM scan_rollup_15m WHERE subject_id = %(subject)s), max(scan_time)), now())
    FROM deltas WHERE count > 0
    """
)
SELECT_HOURS = (
    UNAGGREGATED
    + """, counted AS (
        SELECT at, count FROM scan_rollup_15m WHERE subject_id = %(subject)s
        UNION ALL
        SELECT scan_time, count FROM deltas WHERE count > 0
    )
    SELECT extract(hour FROM (at + o.shift) AT TIME ZONE 'UTC')::integer, sum(count)
    FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[], %(shift)s::interval[]) o (since, until, shift)
    JOIN counted ON at >= o.since AND (at < o.until OR o.until IS NULL)
    GROUP BY 1
    """
)


def statistics(conn: Conn, subject: RollupSubject, tz: str) -> Statistics:
    """Return the statistics of a subject, in one snapshot. `tz` is the name of an existing time zone."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        scans = scan_statistics(conn, subject)
        return Statistics(scans, _visits(conn, subject), _pending(conn, subject), _hours(conn, subject, tz))


def count_codes(conn: Conn, org_id: UUID) -> int:
    """Return the number of the organization's codes."""
    row = exactly_one(
        conn.execute(
            "SELECT count(*) FROM qr_codes WHERE org_id = %(org_id)s AND deleted_at IS NULL", {"org_id": org_id}
        )
    )
    return int(row[0])


def scan_statistics(conn: Conn, subject: RollupSubject) -> ScanStatistics:
    """Return the settled scans of a subject by verdict."""
    with conn.cursor(row_factory=class_row(ScanStatistics)) as cursor:
        return exactly_one(cursor.execute(SELECT_SCANS, subject.parameters()))


def _visits(conn: Conn, subject: RollupSubject) -> VisitStatistics:
    with conn.cursor(row_factory=class_row(VisitStatistics)) as cursor:
        return exactly_one(cursor.execute(SELECT_VISITS, subject.parameters()))


def _pending(conn: Conn, subject: RollupSubject) -> int:
    # Few scans are pending, and they have their own index.
    row = exactly_one(
        conn.execute(
            """
            SELECT count(*) FROM player_scans
            WHERE status = 'pending' AND (qr_code_id = %(subject)s OR org_id = %(subject)s)
            """,
            {"subject": subject.id},
        )
    )
    return int(row[0])


def _hours(conn: Conn, subject: RollupSubject, tz: str) -> list[int]:
    # The offsets are Python's, as in timelines: PostgreSQL may have another version of the IANA database.
    first, last = exactly_one(conn.execute(SELECT_SPAN, subject.parameters()))
    hours = [0] * 24
    if first is None:
        return hours
    start = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    changes = utc_offsets(time_zone(tz), max(start, EARLIEST), last + timedelta(days=1))
    changes[0] = (start, changes[0][1])
    since, shift = zip(*changes, strict=True)
    offsets = {"since": list(since), "until": [*since[1:], None], "shift": list(shift)}
    for hour, count in conn.execute(SELECT_HOURS, subject.parameters() | offsets):
        hours[hour] = int(count)
    return hours
