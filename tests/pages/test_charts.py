"""Charts: scales, bars, lines and shares are numbers, and their figure, its caption and its table say the same."""

import re
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask import render_template_string
from hypothesis import given
from hypothesis import strategies as st

from web.pages.charts import Chart, Series, bars, by_week, hours, lengths, line, round_ticks, sparkline, stacked

COUNTS = st.lists(st.integers(0, 10**7), min_size=1, max_size=400)


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0, [0]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (5, [0, 2, 4, 6]),
        (41, [0, 20, 40, 60]),
        (100, [0, 50, 100]),
        (101, [0, 50, 100, 150]),
        (12_408, [0, 5000, 10_000, 15_000]),
    ],
)
def test_ticks_are_round_whole_numbers(highest: int, ticks: list[int]) -> None:
    assert round_ticks(highest) == ticks


@given(st.integers(1, 10**9))
def test_ticks_are_few_and_reach_the_highest_count(highest: int) -> None:
    ticks = round_ticks(highest)

    assert ticks[0] == 0
    assert ticks[-2] < highest <= ticks[-1]
    assert 2 <= len(ticks) <= 5
    assert len({after - before for before, after in pairwise(ticks)}) == 1


@given(COUNTS)
def test_bars_are_as_high_as_their_counts_and_stay_in_the_plot(counts: list[int]) -> None:
    chart = bars([str(index) for index in range(len(counts))], [Series("Scans", counts, "total")])
    top = chart.ticks[-1].value
    ((_, drawn),) = chart.bars

    assert [round(bar.height * top / 100) for bar in drawn] == pytest.approx([n for n in counts if n], abs=top / 10**5)
    assert all(bar.y + bar.height == pytest.approx(100, abs=0.01) for bar in drawn)
    assert all(bar.x >= 0 and bar.x + bar.width <= 100.001 for bar in drawn)
    assert [column.values for column in chart.columns] == [(("Scans", count),) for count in counts]
    assert 1 <= sum(bool(column.short) for column in chart.columns) <= 8


def test_chart_without_counts_is_a_flat_axis() -> None:
    chart = bars(["a", "b"], [Series("Scans", [0, 0], "total"), Series("Players", [None, None], "line")])

    assert chart.is_empty
    assert [(tick.value, tick.y) for tick in chart.ticks] == [(0, 100)]
    assert chart.bars == (("total", ()),)
    assert chart.lines[0].parts == ()
    assert bars([], []).columns == ()


def test_line_breaks_where_a_count_is_not_available() -> None:
    assert line([0, 5, None, 10], 10) == ("12.5,100 37.5,50", "87.5,0")
    assert line([], 10) == ()


def test_hours_label_every_sixth() -> None:
    chart = hours(list(range(24)), "Scans")

    assert [column.short for column in chart.columns if column.short] == ["00:00", "06:00", "12:00", "18:00"]
    assert chart.columns[23].label == "23:00"


@pytest.mark.parametrize(
    ("counts", "points"), [([], ""), ([3], "0,0"), ([0, 0], "0,100 100,100"), ([1, 4, 2], "0,75 50,0 100,50")]
)
def test_sparkline_spans_the_whole_width(counts: list[int], points: str) -> None:
    assert sparkline(counts) == points


@given(COUNTS)
def test_parts_fill_the_bar_in_their_order(counts: list[int]) -> None:
    parts = stacked(counts)

    assert [part.value for part in parts] == counts
    assert sum(part.width for part in parts) == pytest.approx(100 if any(counts) else 0, abs=0.5)
    assert [part.x for part in parts] == sorted(part.x for part in parts)
    assert max(part.width for part in lengths(counts)) == pytest.approx(100 if any(counts) else 0)


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), COUNTS)
def test_weeks_start_on_monday_and_lose_no_day(first: date, counts: list[int]) -> None:
    days = [first + timedelta(days=n) for n in range(len(counts))]

    weeks = by_week(days, counts)

    assert sum(count or 0 for _, _, count in weeks) == sum(counts)
    assert (weeks[0][0], weeks[-1][1]) == (days[0], days[-1])
    assert all(start.weekday() == 0 for start, _, _ in weeks[1:])
    assert all(end.weekday() == 6 for _, end, _ in weeks[:-1])
    assert by_week(days, [None] * len(days))[0][2] is None


FIGURE = """{% from "parts/charts.html" import chart with context %}
{{ chart("scans", drawn, "Scans", "41 scans", "Day") }}"""


@pytest.fixture
def draw(app: Any) -> Any:
    def draw_chart(chart: Chart) -> str:
        with app.test_request_context("/"):
            return str(render_template_string(FIGURE, drawn=chart))

    return draw_chart


def test_caption_and_table_have_the_counts_of_the_bars(draw: Any) -> None:
    labels = ["Friday", "Saturday <b>"]
    chart = bars(labels, [Series("Scans", [1_204, 0], "total"), Series("Players", [None, 3], "line")])

    figure = draw(chart)

    captions = re.findall(r'data-caption="([^"]*)"', figure)
    assert captions == ["Friday: Scans 1,204", "Saturday &lt;b&gt;: Scans 0, Players 3"]
    rows = re.findall(
        r"<tr><th scope=\"row\">(.*?)</th><td class=\"number\">(.*?)</td><td class=\"number\">(.*?)</td>", figure
    )
    assert rows == [("Friday", "1,204", "-"), ("Saturday &lt;b&gt;", "0", "3")]
    assert "style=" not in figure
