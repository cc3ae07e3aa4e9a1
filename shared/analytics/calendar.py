"""Days in a time zone: the days of a period, when they start, and the offsets from UTC. Pure."""

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
    """Return the names of the IANA time zones. `localtime` and `Factory` are not time zones."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone of this name. Raises ValueError for an unknown name, before any file is opened."""
    if name not in zone_names():
        raise ValueError("Use an IANA time zone such as Europe/Amsterdam.")
    return ZoneInfo(name)


def is_utc(name: str) -> bool:
    return name in UTC_NAMES


def period_days(period: Period, tz: tzinfo, now: datetime) -> list[date]:
    """Return the days of a period. The last one is today."""
    today, n = now.astimezone(tz).date(), DAYS[period]
    return [today - timedelta(days=n - 1 - index) for index in range(n)]


def day_bounds(days: Sequence[date], tz: tzinfo) -> list[datetime]:
    """Return the start of each of these successive days, and the end of the last one, in UTC.

    If clocks skip midnight, the day starts after the skipped time. If midnight occurs twice, it starts at the first.
    """
    return [_start(day, tz) for day in (*days, days[-1] + DAY)]


def _start(day: date, tz: tzinfo) -> datetime:
    return datetime.combine(day, time.min, tz).astimezone(UTC)


def utc_offsets(tz: tzinfo, since: datetime, until: datetime) -> list[tuple[datetime, timedelta]]:
    """Return the offsets from UTC between two times in UTC, each with its start, to 15 minutes.

    No time zone has two changes within a day.
    """
    offsets = [(since, _offset(tz, since))]
    steps = max(0, -((since - until) // DAY))
    for n in range(steps):
        before, after = since + n * DAY, min(since + (n + 1) * DAY, until)
        if _offset(tz, after) != offsets[-1][1]:
            buckets = range(int((after - before) / BUCKET) + 2)
            index = bisect_left(buckets, True, key=lambda k: _offset(tz, before + k * BUCKET) != offsets[-1][1])
            offsets.append((before + index * BUCKET, _offset(tz, after)))
    return offsets


def _offset(tz: tzinfo, at: datetime) -> timedelta:
    return at.astimezone(tz).utcoffset() or timedelta()
