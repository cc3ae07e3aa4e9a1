"""The chart of a timeline, with its table, and the sums of its days: all from one timeline."""

from dataclasses import dataclass

from shared.analytics.timelines import Timeline
from web.pages import dates
from web.pages.charts import Chart, Series, bars, by_week

SHORT_PERIOD_DAYS = 8
"""Up to this number of days, the axis has the names of weekdays."""


@dataclass(frozen=True)
class TimelineSums:
    """Sums over the days of a timeline. `success_rate` is None without scans."""

    scans: int
    success: int
    visits: int

    @property
    def success_rate(self) -> float | None:
        return self.success / self.scans if self.scans else None


@dataclass(frozen=True)
class TimelineChart:
    """`chart` has a column for each day or week, `table` for each day. `busiest` is the column with most scans."""

    chart: Chart
    table: Chart
    sums: TimelineSums
    busiest: str | None
    busiest_scans: int


def timeline_chart(timeline: Timeline, before: Timeline | None = None, *, weekly: bool = False) -> TimelineChart:
    """Draw scans, successes, visits, and players where they are counted. `before` is the previous period, as a line."""
    series = [
        Series("scans", timeline.count, "total"),
        Series("success", timeline.success, "part"),
        Series("visits", timeline.visits, "dashed"),
    ]
    if None not in timeline.unique_players:
        series.append(Series("players", timeline.unique_players, "line"))
    if before is not None:
        series.append(Series("before", before.count, "before"))
    short = dates.weekday if len(timeline.days) <= SHORT_PERIOD_DAYS else dates.short_day
    days = [dates.long_day(day) for day in timeline.days]
    table = bars(days, series, [short(day) for day in timeline.days])
    chart = _weekly(timeline, series) if weekly else table
    counts = next(one.values for one in chart.series if one.name == "scans")
    most = max((count or 0 for count in counts), default=0)
    return TimelineChart(
        chart=chart,
        table=table,
        sums=sums_of(timeline),
        busiest=chart.columns[list(counts).index(most)].label if most else None,
        busiest_scans=most,
    )


def sums_of(timeline: Timeline) -> TimelineSums:
    return TimelineSums(sum(timeline.count), sum(timeline.success), sum(timeline.visits))


def _weekly(timeline: Timeline, series: list[Series]) -> Chart:
    # A player who came on two days of a week would count twice.
    additive = [one for one in series if one.name != "players"]
    summed = [by_week(timeline.days, one.values) for one in additive]
    weeks = [(first, last) for first, last, _ in summed[0]]
    return bars(
        [f"{dates.short_day(first)} - {dates.short_day(last)}" for first, last in weeks],
        [
            Series(one.name, [count for *_, count in sums], one.style)
            for one, sums in zip(additive, summed, strict=True)
        ],
        [dates.short_day(first) for first, _ in weeks],
    )
