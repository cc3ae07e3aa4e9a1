"""Days as people live them: which ones a period has, where they begin, and what hour it was. Pure."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

Period = Literal["7d", "30d", "90d", "1y"]
DAYS: Mapping[Period, int] = {"7d": 7, "30d": 30, "90d": 90, "1y": 365}
UTC_NAMES = frozenset({"UTC", "UCT", "Zulu", "Universal", "Etc/UTC", "Etc/UCT", "Etc/Zulu", "Etc/Universal"})

BUCKET = timedelta(minutes=15)
DAY = timedelta(days=1)


@cache
def zone_names() -> frozenset[str]:
    """The IANA time zones that are known here; those without a place are the machine's own, and none."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def time_zone(name: str) -> ZoneInfo:
    """The time zone of this name, which is looked up before any file is. Raises ValueError."""
    if name not in zone_names():
        raise ValueError("must be an IANA time zone such as Europe/Amsterdam")
    return ZoneInfo(name)


def is_utc(name: str) -> bool:
    return name in UTC_NAMES


def period_days(period: Period, tz: tzinfo, now: datetime) -> list[date]:
    """The days of a period, the last one today."""
    today, n = now.astimezone(tz).date(), DAYS[period]
    return [today - timedelta(days=n - 1 - place) for place in range(n)]


def day_bounds(of: Sequence[date], tz: tzinfo) -> list[datetime]:
    """When each of these successive days begins, and when the last one ends, in UTC.

    Where clocks skip midnight the day begins as they do; where it comes twice, the first time.
    """
    return [_start(day, tz) for day in (*of, of[-1] + DAY)]


def _start(day: date, tz: tzinfo) -> datetime:
    return datetime.combine(day, time.min, tz).astimezone(UTC)


def utc_offsets(tz: tzinfo, since: datetime, until: datetime) -> list[tuple[datetime, timedelta]]:
    """Return the offsets from UTC between two times in UTC, each with its start. Changes are found to 15 minutes.

    Of two changes within a day, which no zone has, only the second would be found.
    """
    found = [(since, _offset(tz, since))]
    steps = max(0, -((since - until) // DAY))
    for n in range(steps):
        before, after = since + n * DAY, min(since + (n + 1) * DAY, until)
        if _offset(tz, after) != found[-1][1]:
            quarters = range(int((after - before) / BUCKET) + 2)
            place = bisect_left(quarters, True, key=lambda k: _offset(tz, before + k * BUCKET) != found[-1][1])
            found.append((before + place * BUCKET, _offset(tz, after)))
    return found


def _offset(tz: tzinfo, at: datetime) -> timedelta:
    return at.astimezone(tz).utcoffset() or timedelta()
