"""Timelines in PostgreSQL: so many days, each with its counts, whatever happened on them. One statement, one snapshot.

A year is 365 rows of `scan_days` in UTC, and at most 35,000 of `scan_quarters` in any other time zone, however many
scans they stand for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import args_row

from shared.analytics.rules import Period, bounds, days, is_utc, zone
from shared.analytics.tail import AS_OF, TAIL, Subject
from shared.db import Conn, one


@dataclass(frozen=True)
class Timeline:
    """Successive days, and what was counted on each. Players are told in UTC only."""

    days: Sequence[date]
    count: Sequence[int]
    success: Sequence[int]
    unique_players: Sequence[int | None]
    visits: Sequence[int]
    as_of: datetime

    def __iter__(self) -> Iterator[tuple[date, int, int, int | None, int]]:
        return zip(self.days, self.count, self.success, self.unique_players, self.visits, strict=True)


IN_UTC = f"""
    {TAIL}
    SELECT array_agg(coalesce(r.count, 0) + coalesce(t.count, 0) ORDER BY n),
           array_agg(coalesce(r.success, 0) + coalesce(t.success, 0) ORDER BY n),
           array_agg(coalesce(r.players, 0) + coalesce(t.players, 0) ORDER BY n),
           array_agg(coalesce(v.count, 0) + coalesce(w.count, 0) ORDER BY n),
           {AS_OF}
    FROM generate_series(0, %(days)s - 1) n
    CROSS JOIN LATERAL (SELECT %(first)s::date + n) d (day)
    LEFT JOIN (
        SELECT day, count, success, players FROM scan_days
        WHERE subject_id = %(subject)s AND day >= %(first)s AND day < %(first)s::date + %(days)s) r USING (day)
    LEFT JOIN (
        SELECT day, count FROM visit_days
        WHERE subject_id = %(subject)s AND day >= %(first)s AND day < %(first)s::date + %(days)s) v USING (day)
    LEFT JOIN (
        SELECT day, sum(count) AS count, sum(success) AS success,
               count(DISTINCT player_id) FILTER (WHERE count > 0 AND NOT EXISTS (
                   SELECT FROM scan_players p
                   WHERE p.subject_id = %(subject)s AND p.day = deltas.day AND p.player_id = deltas.player_id)
               ) AS players
        FROM deltas GROUP BY day) t USING (day)
    LEFT JOIN (SELECT day, sum(count) AS count FROM visit_deltas GROUP BY day) w USING (day)
"""  # noqa: S608 - put together from constants

IN_A_ZONE = f"""
    {TAIL}
    SELECT array_agg(r.count + coalesce(t.count, 0) ORDER BY n),
           array_agg(r.success + coalesce(t.success, 0) ORDER BY n),
           array_agg(NULL::integer ORDER BY n),
           array_agg(v.count + coalesce(w.count, 0) ORDER BY n),
           {AS_OF}
    FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY d (start, stop, n)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(count), 0) AS count, coalesce(sum(success), 0) AS success FROM scan_quarters
        WHERE subject_id = %(subject)s AND at >= start AND at < stop) r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(count), 0) AS count FROM visit_quarters
        WHERE subject_id = %(subject)s AND at >= start AND at < stop) v
    LEFT JOIN (
        SELECT width_bucket(scan_time, %(starts)s::timestamptz[]) AS n, sum(count) AS count, sum(success) AS success
        FROM deltas WHERE scan_time < %(end)s GROUP BY 1) t USING (n)
    LEFT JOIN (
        SELECT width_bucket(at, %(starts)s::timestamptz[]) AS n, sum(count) AS count
        FROM visit_deltas WHERE at < %(end)s GROUP BY 1) w USING (n)
"""  # noqa: S608 - put together from constants


def timeline(conn: Conn, subject: Subject, period: Period, tz: str, now: datetime) -> Timeline:
    """The days of a period that ends today, by the clocks of a time zone that exists."""
    found = zone(tz)
    of = days(period, found, now)
    if is_utc(tz):
        query, asked = IN_UTC, {"first": of[0], "days": len(of)}
    else:
        *starts, end = bounds(of, found)
        query, asked = IN_A_ZONE, {"starts": starts, "ends": [*starts[1:], end], "end": end}
    with conn.cursor(row_factory=args_row(lambda *counted: Timeline(of, *counted))) as cursor:
        return one(cursor.execute(query, subject.parameters() | asked))
