"""Days in every time zone, also when clocks change."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.analytics.calendar import DAYS, day_bounds, is_utc, period_days, time_zone, utc_offsets, zone_names

NOW = datetime(2026, 3, 29, 22, 30, tzinfo=UTC)
ZONES = st.sampled_from(sorted(zone_names()))
MOMENTS = st.integers(-2 * 365 * 86_400, 365 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("period", DAYS)
@pytest.mark.parametrize(("tz", "today"), [("UTC", 29), ("Europe/Amsterdam", 30), ("America/New_York", 29)])
def test_a_period_has_its_days_and_ends_today(period: str, tz: str, today: int) -> None:
    found = period_days(period, ZoneInfo(tz), NOW)  # type: ignore[arg-type]

    assert len(found) == {"7d": 7, "30d": 30, "90d": 90, "1y": 365}[period]
    assert found[-1] == date(2026, 3, today)
    assert all(after - before == timedelta(days=1) for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("tz", "day", "starts", "hours"),
    [
        ("UTC", date(2026, 3, 29), "2026-03-29T00:00", 24),
        ("Europe/Amsterdam", date(2026, 3, 29), "2026-03-28T23:00", 23),
        ("Europe/Amsterdam", date(2026, 10, 25), "2026-10-24T22:00", 25),
        ("America/New_York", date(2026, 3, 8), "2026-03-08T05:00", 23),
        ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-04T13:00", 24.5),
        ("Asia/Kathmandu", date(2026, 3, 29), "2026-03-28T18:15", 24),
        ("Asia/Kolkata", date(2026, 3, 29), "2026-03-28T18:30", 24),
        ("America/Havana", date(2026, 3, 8), "2026-03-08T05:00", 23),  # midnight is skipped
        ("America/Havana", date(2025, 11, 2), "2025-11-02T04:00", 25),  # midnight comes twice
        # Since version 2026f of the IANA database.
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00", 24),
        ("Africa/Casablanca", date(2026, 9, 20), "2026-09-19T23:00", 25),
        ("Africa/Casablanca", date(2026, 12, 1), "2026-12-01T00:00", 24),
        ("Africa/El_Aaiun", date(2026, 9, 20), "2026-09-19T23:00", 25),
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00", 23),
        ("Pacific/Kiritimati", date(2026, 3, 29), "2026-03-28T10:00", 24),
    ],
)
def test_the_start_and_the_length_of_a_day(tz: str, day: date, starts: str, hours: float) -> None:
    start, end = day_bounds([day], ZoneInfo(tz))

    assert start == datetime.fromisoformat(f"{starts}Z")
    assert end - start == timedelta(hours=hours)


@given(ZONES, MOMENTS)
def test_every_time_is_within_its_day(tz: str, at: datetime) -> None:
    local = at.astimezone(ZoneInfo(tz)).date()
    before, start, end, after = day_bounds([local + timedelta(days=k) for k in (-1, 0, 1)], ZoneInfo(tz))

    assert start <= at < end
    assert before < start < end < after


@given(ZONES, MOMENTS)
def test_a_day_begins_on_a_quarter_of_an_hour(tz: str, at: datetime) -> None:
    for moment in day_bounds(period_days("7d", ZoneInfo(tz), at), ZoneInfo(tz)):
        assert moment.timestamp() % (15 * 60) == 0


@given(ZONES, MOMENTS, st.integers(0, 400), st.integers(0, 400 * 96))
def test_offsets_hold_until_the_next(tz: str, since: datetime, n: int, quarter: int) -> None:
    since = since.replace(minute=0, second=0, microsecond=0)
    until = since + timedelta(days=n)
    found = utc_offsets(ZoneInfo(tz), since, until)
    at = min(since + quarter * timedelta(minutes=15), until)

    assert found[0][0] == since
    result = [shift for begins, shift in found if begins <= at][-1]
    assert result == at.astimezone(ZoneInfo(tz)).utcoffset()


def test_a_zone_that_never_changes_has_one_offset() -> None:
    assert utc_offsets(ZoneInfo("Asia/Tokyo"), NOW, NOW + timedelta(days=700)) == [(NOW, timedelta(hours=9))]


@pytest.mark.parametrize(
    "name",
    ["Mars/Base", "", "utc", "../../etc/passwd", "/etc/localtime", "localtime", "Factory", "Europe", "UTC\n", "+01:00"],
)
def test_an_unknown_time_zone_raises_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="IANA time zone"):
        time_zone(name)


def test_every_name_of_utc_is_recognized() -> None:
    assert is_utc("UTC")
    assert is_utc("Etc/UTC")
    assert not is_utc("Europe/London")
    for name in filter(is_utc, zone_names()):
        assert [shift for _, shift in utc_offsets(time_zone(name), NOW - timedelta(days=9_000), NOW)] == [timedelta()]
