"""Days of daily quests, in the time zone of the player. Pure."""

from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

STEP_INTERVAL = timedelta(hours=20)
"""Between two steps, whatever the time zones: a player who changes the zone gains no day. Shorter than a day, because
players do not come at the same time every day, and some days have 23 hours."""
DAY = timedelta(days=1)


def time_zone_or_utc(name: str) -> ZoneInfo:
    """Return the time zone of this name, or UTC if the IANA database does not have it."""
    try:
        return _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _zone("UTC")


def days_between(earlier: datetime, earlier_zone: ZoneInfo, later: datetime, zone: ZoneInfo) -> int:
    """Return the days from one visit of a player to a later one, each with the player's time zone at that time.

    They are dates of the calendar in `zone`. For a player who has traveled meanwhile, the fewest of three counts: these
    dates, the local dates of both visits, and 24 hours. So the way across the date line costs no day.
    """
    days = (later.astimezone(zone).date() - earlier.astimezone(zone).date()).days
    local_before = earlier.astimezone(earlier_zone)
    if local_before.utcoffset() == earlier.astimezone(zone).utcoffset():
        return days
    return min(days, (later.astimezone(zone).date() - local_before.date()).days, (later - earlier) // DAY)


_zone = cache(ZoneInfo)
