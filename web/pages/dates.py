"""Dates and times in the language and the time zone of a page."""

from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_skeleton
from flask import request

from shared.accounts import store
from shared.analytics.calendar import zone_names
from shared.infra import db
from web.http.auth import current_player_id
from web.pages.i18n import current_language, locale_of

ZONE_COOKIE = "waymark_tz"
"""Set by the pages: the time zone of the browser."""


def viewer_zone() -> str:
    """Return the time zone of this browser. Before it is known, return that of the signed-in player's account."""
    zone = request.cookies.get(ZONE_COOKIE, "")
    if zone in zone_names():
        return zone
    with db.connection() as conn:
        profile = store.get_profile(conn, current_player_id())
    return profile.timezone if profile is not None and profile.timezone in zone_names() else "UTC"


def clock_time(at: datetime, zone: str) -> str:
    """14:02, in every language."""
    return at.astimezone(ZoneInfo(zone)).strftime("%H:%M")


def zone_time(at: datetime, zone: str) -> str:
    """Nov 28, 2026, 2:02:31 PM in a zone that the page names."""
    text = str(format_datetime(at, tzinfo=ZoneInfo(zone), locale=locale_of(current_language())))
    # The typeface has no narrow no-break space, which Babel puts before AM and PM.
    return text.replace("\u202f", "\u00a0")


def long_day(day: date) -> str:
    """Saturday, November 14."""
    return _long_day(day, current_language())


def short_day(day: date) -> str:
    """Nov 14."""
    return _format(day, "MMMd", current_language())


def weekday(day: date) -> str:
    """Sat."""
    return _format(day, "E", current_language())


@lru_cache(maxsize=2_000)
def _long_day(day: date, language: str) -> str:
    return f"{format_date(day, 'EEEE', locale=locale_of(language))}, {_format(day, 'MMMMd', language)}"


@lru_cache(maxsize=2_000)
def _format(day: date, skeleton: str, language: str) -> str:
    return str(format_skeleton(skeleton, day, locale=locale_of(language)))
