"""A year of a code, day by day: from rollups, and by the GROUP BY that would do without them.

The rival counts scans alone, on the index alone: the least that a timeline can need. Waymark does all that its route
does below HTTP: the days in Python, the rollups, the unaggregated events, the zeroes.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from uuid import UUID

from bench.stack import stack
from bench.table import Figure, Table
from bench.timeline_data import SCANS, codes, prepare, seed
from shared.analytics.calendar import day_bounds, period_days, time_zone
from shared.analytics.timelines import timeline
from shared.analytics.unaggregated import RollupSubject
from shared.infra import db
from shared.infra.db import Conn

ROUNDS, CALLS = 5, 20
ZONES = ("Europe/Amsterdam", "America/New_York", "Asia/Kathmandu")


def measure() -> list[Figure]:
    """Measure rounds of each in turn, after one round in which plans are made and pages are read into memory."""
    with db.connection() as conn:
        found, now = codes(conn), datetime.now(UTC)

        def waymark(code: str, tz: str) -> Callable[[], object]:
            return lambda: timeline(conn, RollupSubject(*found[code]), "1y", tz, now)

        def rival(code: str, tz: str) -> Callable[[], object]:
            return lambda: group_by(conn, found[code][0], tz, now)

        for tz in ("UTC", *ZONES):
            assert [count for _, count, *_ in timeline(conn, RollupSubject(*found["many"]), "1y", tz, now)] == [
                count for _, count in group_by(conn, found["many"][0], tz, now)
            ]
        sides = {
            (side, tz): call
            for tz in ("UTC", *ZONES)
            for side, call in (
                *((code, (waymark(code, tz), CALLS)) for code in SCANS),
                ("rival", (rival("many", tz), 1)),
            )
        }
        _, *rounds = [{name: milliseconds(*side) for name, side in sides.items()} for _ in range(1 + ROUNDS)]
    ms = {name: median(each[name] for each in rounds) for name in sides}
    print(
        "\nms"
        + " " * 18
        + "".join(f"{heading:>15}" for heading in ("10 thousand", "1 million", "10 million", "GROUP BY"))
    )
    for tz in ("UTC", *ZONES):
        print(f"{tz:20}" + "".join(f"{ms[side, tz]:15.2f}" for side in ("few", "many", "most", "rival")))
    sizes = [(1000 * each["most", "UTC"], 1000 * each["few", "UTC"]) for each in rounds]
    figures = [Figure.of_rounds("UTC, 10 million to 10 thousand", "µs", sizes, "≤", 1.5)]
    for tz in ("UTC", *ZONES):
        rates = [(1000 / each["many", tz], 1000 / each["rival", tz]) for each in rounds]
        goal = 100 if tz == "UTC" else 15
        figures.append(Figure.of_rounds(f"{tz}, 1 million to GROUP BY", "years/s", rates, "≥", goal))
    return figures


def milliseconds(call: Callable[[], object], calls: int) -> float:
    """Return the median of the calls."""
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def group_by(conn: Conn, code_id: UUID, tz: str, now: datetime) -> list[tuple[object, int]]:
    """The timeline without rollups: days by GROUP BY, holes filled with zero."""
    of = period_days("1y", time_zone(tz), now)
    start, *_, end = day_bounds(of, time_zone(tz))
    return conn.execute(
        """
        SELECT day, coalesce(count, 0)
        FROM (SELECT %(first)s::date + n FROM generate_series(0, %(days)s - 1) n) d (day)
        LEFT JOIN (
            SELECT (scan_time AT TIME ZONE %(tz)s)::date AS day, count(*) FROM player_scans
            WHERE qr_code_id = %(code)s AND scan_time >= %(start)s AND scan_time < %(end)s GROUP BY 1) c USING (day)
        ORDER BY day
        """,
        {"first": of[0], "days": len(of), "tz": tz, "code": code_id, "start": start, "end": end},
    ).fetchall()


def main(scale: float = 1.0) -> list[Table]:
    """Run it and return the table. At a small scale, GROUP BY is fast and the ratios mean nothing."""
    with stack(seed):
        prepare(scale)
        return [Table("Timelines", measure())]
