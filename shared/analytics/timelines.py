"""Timelines in PostgreSQL: successive days with their counts, including days without scans, in one statement.

A year reads 365 rows of `scan_rollup_daily`. In another time zone than UTC, it also reads the rows of
`scan_rollup_15m` between the midnights there and in UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import args_row

from shared.analytics.calendar import Period, day_bounds, is_utc, period_days, time_zone
from shared.analytics.unaggregated import AS_OF, UNAGGREGATED, RollupSubject
from shared.infra.db import Conn, exactly_one


@dataclass(frozen=True)
class Timeline:
    """Successive days and their counts. Players are counted in UTC only."""

    days: Sequence[date]
    count: Sequence[int]
    success: Sequence[int]
    unique_players: Sequence[int | None]
    visits: Sequence[int]
    as_of: datetime

    def __iter__(self) -> Iterator[tuple[date, int, int, int | None, int]]:
        return zip(self.days, self.count, self.success, self.unique_players, self.visits, strict=True)


IN_UTC = (
    UNAGGREGATED
    + """
    SELECT array_agg(coalesce(r.count, 0) + coalesce(t.count, 0) ORDER BY n),
           array_agg(coalesce(r.success, 0) + coalesce(t.success, 0) ORDER BY n),
           array_agg(coalesce(r.unique_players, 0) + coalesce(t.unique_players, 0) ORDER BY n),
           array_agg(coalesce(v.count, 0) + coalesce(w.count, 0) ORDER BY n),
           """
    + AS_OF
    + """
    FROM generate_series(0, %(days)s - 1) n
    CROSS JOIN LATERAL (SELECT %(first)s::date + n) d (day)
    LEFT JOIN (
        SELECT day, count, success, unique_players FROM scan_rollup_daily
        WHERE subject_id = %(subject)s AND day >= %(first)s AND day < %(first)s::date + %(days)s) r USING (day)
    LEFT JOIN (
        SELECT day, count FROM visit_rollup_daily
        WHERE subject_id = %(subject)s AND day >= %(first)s AND day < %(first)s::date + %(days)s) v USING (day)
    LEFT JOIN (
        SELECT day, sum(count) AS count, sum(success) AS success,
               count(DISTINCT player_id) FILTER (WHERE count > 0 AND NOT EXISTS (
                   SELECT FROM scan_daily_players p
                   WHERE p.subject_id = %(subject)s AND p.day = deltas.day AND p.player_id = deltas.player_id)
               ) AS unique_players
        FROM deltas GROUP BY day) t USING (day)
    LEFT JOIN (SELECT day, sum(count) AS count FROM visit_deltas GROUP BY day) w USING (day)
"""
)

# A day in a time zone is the UTC day of the same date, without the scans before it starts, and with those from the end
# of the UTC day until it ends. Only the buckets between the two midnights are read, not those of the whole year.
IN_TIME_ZONE = (
    UNAGGREGATED
    + """, edges AS MATERIALIZED (
        SELECT n, sign * q.count AS count, sign * q.success AS success, sign * v.count AS visits
        FROM generate_series(0, %(days)s) n
        CROSS JOIN LATERAL (
            SELECT to_timestamp((%(starts)s::bigint[])[n + 1]), (%(first)s::date + n)::timestamp AT TIME ZONE 'UTC'
        ) m (start, midnight)
        CROSS JOIN LATERAL (SELECT CASE WHEN start < midnight THEN -1 ELSE 1 END) s (sign)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(count), 0) AS count, coalesce(sum(success), 0) AS success FROM scan_rollup_15m
            WHERE subject_id = %(subject)s AND at >= least(start, midnight) AND at < greatest(start, midnight)) q
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(count), 0) AS count FROM visit_rollup_15m
            WHERE subject_id = %(subject)s AND at >= least(start, midnight) AND at < greatest(start, midnight)) v
    ), shifts AS (
        SELECT n, lead(count) OVER next - count AS count, lead(success) OVER next - success AS success,
               lead(visits) OVER next - visits AS visits
        FROM edges WINDOW next AS (ORDER BY n)
    )
    SELECT array_agg(s.count + coalesce(r.count, 0) + coalesce(t.count, 0) ORDER BY n),
           array_agg(s.success + coalesce(r.success, 0) + coalesce(t.success, 0) ORDER BY n),
           array_agg(NULL::integer ORDER BY n),
           array_agg(s.visits + coalesce(v.count, 0) + coalesce(w.count, 0) ORDER BY n),
           """
    + AS_OF
    + """
    FROM shifts s
    CROSS JOIN LATERAL (SELECT %(first)s::date + n) d (day)
    LEFT JOIN (
        SELECT day, count, success FROM scan_rollup_daily
        WHERE subject_id = %(subject)s AND day >= %(first)s AND day < %(first)s::date + %(days)s) r USING (day)
    LEFT JOIN (
        SELECT day, count FROM visit_rollup_daily
        WHERE subject_id = %(subject)s AND day >= %(first)s AND day < %(first)s::date + %(days)s) v USING (day)
    LEFT JOIN (
        SELECT width_bucket(floor(extract(epoch FROM scan_time))::bigint, %(starts)s::bigint[]) - 1 AS n,
               sum(count) AS count, sum(success) AS success
        FROM deltas GROUP BY 1) t USING (n)
    LEFT JOIN (
        SELECT width_bucket(floor(extract(epoch FROM at))::bigint, %(starts)s::bigint[]) - 1 AS n, sum(count) AS count
        FROM visit_deltas GROUP BY 1) w USING (n)
    WHERE n < %(days)s
"""
)


def timeline(conn: Conn, subject: RollupSubject, period: Period, tz: str, now: datetime) -> Timeline:
    """Return the days of a period that ends today. `tz` is the name of an existing time zone."""
    zone = time_zone(tz)
    days = period_days(period, zone, now)
    params = subject.parameters() | {"first": days[0], "days": len(days)}
    with conn.cursor(row_factory=args_row(lambda *counts: Timeline(days, *counts))) as cursor:
        if is_utc(tz):
            return exactly_one(cursor.execute(IN_UTC, params))
        seconds = (str(int(start.timestamp())) for start in day_bounds(days, zone))
        # As text: adapting an array of times takes longer than the statement.
        params["starts"] = f"{{{','.join(seconds)}}}"
        with conn.pipeline(), conn.transaction():
            # PostgreSQL overestimates the cost, and would compile the statement first.
            conn.execute("SET LOCAL jit = off")
            return exactly_one(cursor.execute(IN_TIME_ZONE, params))
