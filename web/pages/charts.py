"""Charts as numbers: scales, round ticks, bars and lines in percent of the plot. A template draws them as SVG. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

Style = Literal["total", "part", "line", "dashed", "before"]
"""How a series is drawn: bars, the filled part of these bars, and three kinds of lines."""
BARS: tuple[Style, ...] = ("total", "part")
MAX_TICKS = 4
"""Ticks above zero."""
MAX_LABELS = 5
GAP = 0.25
"""The part of a column that is left free between two bars."""


@dataclass(frozen=True)
class Series:
    """Counts, one for each column. None: not available."""

    name: str
    """A key of `series_names` in `parts/charts.html`, where the words are."""
    values: Sequence[int | None]
    style: Style

    @property
    def total(self) -> int:
        return sum(value or 0 for value in self.values)


@dataclass(frozen=True)
class Tick:
    """A line of the scale, at `y` percent from the top."""

    value: int
    y: float


@dataclass(frozen=True)
class Bar:
    """A bar, in percent of the plot."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Column:
    """A place on the horizontal axis: its range in percent, its label and its counts."""

    x: float
    width: float
    label: str
    short: str
    """The label on the axis. Empty where there is no room for it."""
    values: tuple[tuple[str, int], ...]
    """The available counts, each with the name of its series."""


@dataclass(frozen=True)
class Line:
    """The points of a line as the attribute `points` of SVG, in percent. A count that is not available breaks it."""

    style: Style
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """Columns with bars and lines on one scale, which starts at zero."""

    series: tuple[Series, ...]
    ticks: tuple[Tick, ...]
    columns: tuple[Column, ...]
    bars: tuple[tuple[Style, tuple[Bar, ...]], ...]
    lines: tuple[Line, ...]

    @property
    def is_empty(self) -> bool:
        """Return whether no column has a count."""
        return not any(series.total for series in self.series)


@dataclass(frozen=True)
class Segment:
    """A part of a whole, or a bar from the left: its range in percent."""

    x: float
    width: float
    value: int
    share: float
    """0.0 to 1.0, of all parts."""


def round_ticks(highest: int) -> list[int]:
    """Return whole numbers from 0 to `highest` or more, in steps of 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return [0]
    step = 1
    while step * MAX_TICKS < highest:
        leading = int(str(step)[0])
        step = step * 5 // 2 if leading == 2 else step * 2
    return list(range(0, -(-highest // step) * step + 1, step))


def bars(labels: Sequence[str], series: Sequence[Series], short: Sequence[str] | None = None, every: int = 0) -> Chart:
    """Return a chart with a column for each label. `short` are the labels on the axis, of which it shows some.

    `every`: how many columns apart they are; 0: as there is room.
    """
    count = len(labels)
    ticks = round_ticks(max((value or 0 for one in series for value in one.values), default=0))
    top = ticks[-1] or 1
    width = 100 / count if count else 100
    step = every or (1 if count <= 8 else -(-count // MAX_LABELS))
    columns = tuple(
        Column(
            _round(index * width),
            _round(width),
            label,
            (short or labels)[index] if index % step == 0 else "",
            tuple((one.name, value) for one in series if (value := one.values[index]) is not None),
        )
        for index, label in enumerate(labels)
    )
    return Chart(
        series=tuple(series),
        ticks=tuple(Tick(value, _round(100 - value * 100 / top)) for value in ticks),
        columns=columns,
        bars=tuple((one.style, _bars(one.values, width, top)) for one in series if one.style in BARS),
        lines=tuple(Line(one.style, line(one.values, top)) for one in series if one.style not in BARS),
    )


def hours(counts: Sequence[int], name: str) -> Chart:
    """Return the chart of 24 counts by hour of the day."""
    labels = [f"{hour:02}:00" for hour in range(24)]
    return bars(labels, [Series(name, counts, "part")], every=6)


def line(values: Sequence[int | None], top: int) -> tuple[str, ...]:
    """Return the points of a line through the centers of the columns, one text for each part without a break."""
    width = 100 / len(values) if values else 100
    points = [
        None if value is None else f"{_round((index + 0.5) * width):g},{_round(100 - value * 100 / (top or 1)):g}"
        for index, value in enumerate(values)
    ]
    return tuple(
        " ".join(point for point in part if point)
        for is_there, part in groupby(points, key=lambda point: point is not None)
        if is_there
    )


def sparkline(values: Sequence[int]) -> str:
    """Return the points of a line from the left edge to the right one, without a scale."""
    top, last = max(values, default=0) or 1, max(1, len(values) - 1)
    return " ".join(f"{_round(index * 100 / last):g},{_round(100 - v * 100 / top):g}" for index, v in enumerate(values))


def stacked(counts: Sequence[int]) -> tuple[Segment, ...]:
    """Return the parts of one bar that is full. All are empty if there is no count."""
    total, segments, before = sum(counts), [], 0
    for count in counts:
        share = count / total if total else 0.0
        segments.append(Segment(_round(before * 100 / (total or 1)), _round(share * 100), count, share))
        before += count
    return tuple(segments)


def lengths(counts: Sequence[int]) -> tuple[Segment, ...]:
    """Return bars below each other, the longest of which is full."""
    longest = max(counts, default=0) or 1
    return tuple(replace(part, x=0.0, width=_round(part.value * 100 / longest)) for part in stacked(counts))


def by_week(days: Sequence[date], values: Sequence[int | None]) -> list[tuple[date, date, int | None]]:
    """Return the first day, the last day and the sum of each week from Monday to Sunday. None if a day has none.

    The first and the last week have only the days of the period.
    """
    weeks = groupby(zip(days, values, strict=True), key=lambda one: one[0] - timedelta(days=one[0].weekday()))
    return [_week(list(week)) for _, week in weeks]


def _week(days: list[tuple[date, int | None]]) -> tuple[date, date, int | None]:
    counts = [count for _, count in days if count is not None]
    return days[0][0], days[-1][0], sum(counts) if len(counts) == len(days) else None


def _bars(values: Sequence[int | None], width: float, top: int) -> tuple[Bar, ...]:
    return tuple(
        Bar(
            _round((i + GAP / 2) * width), _round(100 - v * 100 / top), _round(width * (1 - GAP)), _round(v * 100 / top)
        )
        for i, v in enumerate(values)
        if v
    )


def _round(percent: float) -> float:
    return round(percent, 3)
