"""Daily quests count calendar days of the player's time zone, over clock changes and travel."""

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.quests.days import STEP_INTERVAL
from shared.quests.rules import Quest, QuestAction, QuestState, decide, fold

DAYS = Quest("days", streak=100, duplication=1, daily=True)
HOUR = timedelta(hours=1)
ZONES = ["Pacific/Auckland", "Asia/Tokyo", "Europe/Berlin", "UTC", "America/Los_Angeles", "Pacific/Honolulu"]


def visit(time: str, zone: str) -> QuestAction:
    """A visit at a time in UTC."""
    return QuestAction(datetime.fromisoformat(f"{time}Z"), ZoneInfo(zone))


def progress(*visits: QuestAction, quest: Quest = DAYS) -> list[int]:
    """Return the streak after each visit."""
    state, streaks = QuestState(), []
    for each in visits:
        state = fold(decide(state, each, quest), state)
        streaks.append(state.progress)
    return streaks


@pytest.mark.parametrize(
    ("times", "streaks"),
    [
        # W24: three days, 23 hours apart.
        (["2026-03-28T22:30", "2026-03-29T21:30", "2026-03-30T21:45"], [1, 2, 3]),
        # W24: 00:15 and 23:30 of one day, then 00:05 of the next.
        (["2026-10-24T22:15", "2026-10-25T22:30", "2026-10-25T23:05"], [1, 1, 2]),
        (["2026-11-02T21:00", "2026-11-03T08:00", "2026-11-04T08:00"], [1, 1, 2]),  # the morning keeps the streak
        (["2026-11-02T10:00", "2026-11-04T09:00"], [1, 1]),  # less than 48 hours, and a day is missing
    ],
)
def test_a_streak_counts_calendar_days(times: list[str], streaks: list[int]) -> None:
    assert progress(*(visit(time, "Europe/Berlin") for time in times)) == streaks


@pytest.mark.parametrize(
    ("journey", "streaks"),
    [
        # Three zones within a minute.
        ([("2026-11-02T09:00:00", "UTC"), ("2026-11-02T09:00:20", "Pacific/Auckland")], [1, 1]),
        (
            [
                ("2026-11-02T11:00:00", "Pacific/Honolulu"),
                ("2026-11-02T11:00:20", "UTC"),
                ("2026-11-02T11:00:40", "Pacific/Kiritimati"),
            ],
            [1, 1, 1],
        ),
        # To the west: each evening in another city, each evening later.
        (
            [
                ("2026-11-02T11:00", "Asia/Tokyo"),
                ("2026-11-03T19:00", "Europe/Berlin"),
                ("2026-11-05T04:00", "America/Los_Angeles"),
            ],
            [1, 2, 3],
        ),
        # Across the date line to the east, and the same date twice: 1 and 20 o'clock.
        ([("2026-01-09T12:00", "Pacific/Auckland"), ("2026-01-11T06:00", "Pacific/Honolulu")], [1, 2]),
        ([("2026-01-10T07:00", "Pacific/Auckland"), ("2026-01-11T07:00", "Pacific/Honolulu")], [1, 2]),
        # Across the date line to the west, where a date is missing. The last place in which it was the 9th.
        ([("2026-01-09T10:30", "Pacific/Honolulu"), ("2026-01-11T10:00", "Pacific/Auckland")], [1, 2]),
        ([("2026-01-09T13:00", "America/Los_Angeles"), ("2026-01-11T01:00", "Asia/Tokyo")], [1, 2]),
        # A day without a visit is missing, wherever the player was.
        ([("2026-01-09T12:00", "Europe/Berlin"), ("2026-01-12T12:00", "Asia/Tokyo")], [1, 1]),
    ],
)
def test_travel_neither_adds_nor_costs_a_day(journey: list[tuple[str, str]], streaks: list[int]) -> None:
    assert progress(*(visit(*stop) for stop in journey)) == streaks


@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from(ZONES)), max_size=12),
    st.integers(0, 2),
)
def test_steps_are_twenty_hours_apart_and_on_days_of_their_own(stops: list[tuple[int, str]], grace: int) -> None:
    at, state, steps = datetime.fromisoformat("2026-10-20T00:00Z"), QuestState(), list[QuestAction]()
    for hours, zone in stops:
        at += hours * HOUR
        action = QuestAction(at, ZoneInfo(zone))
        events = decide(state, action, Quest("days", streak=100, duplication=1, daily=True, grace_days=grace))
        state = fold(events, state)
        if events[0].type == "quest_step":
            steps.append(action)
    for before, after in pairwise(steps):
        assert after.at - before.at >= STEP_INTERVAL
        assert after.day > before.at.astimezone(after.zone).date()


@given(st.lists(st.tuples(st.integers(20, 24), st.sampled_from(ZONES)), min_size=1, max_size=12))
def test_a_visit_per_day_keeps_the_streak_wherever_it_is(stops: list[tuple[int, str]]) -> None:
    at, visits = datetime.fromisoformat("2026-10-20T00:00Z"), list[QuestAction]()
    for hours, zone in stops:
        at += hours * HOUR
        visits.append(QuestAction(at, ZoneInfo(zone)))
    streaks = progress(*visits)
    assert all(before <= after for before, after in pairwise(streaks))
