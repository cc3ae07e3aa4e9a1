"""The period and the time zone of a list, from its address."""

from datetime import UTC, datetime
from typing import cast

from flask import request

from shared.analytics.calendar import DAYS, Period, day_bounds, period_days, time_zone, zone_names
from web.pages.dates import viewer_zone


def current_zone() -> str:
    """Return the name of the time zone: that of the address, else that of the viewer."""
    named = request.args.get("tz", "")
    return named if named in zone_names() else viewer_zone()


def current_period() -> Period | None:
    """Return the period of the address. None if it names none."""
    period = request.args.get("period")
    return cast("Period", period) if period in DAYS else None


def start_of(period: Period, tz: str) -> datetime:
    """Return when the first day of a period starts, which ends today."""
    zone = time_zone(tz)
    return day_bounds(period_days(period, zone, datetime.now(UTC)), zone)[0]
