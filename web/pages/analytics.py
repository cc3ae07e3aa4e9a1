"""Analytics of an organization: one period and one time zone, both in the URL, for everything on the page."""

from datetime import UTC, datetime, time, timedelta
from typing import Any, get_args
from urllib.parse import urlencode

from flask import Flask, Response, request

from shared.analytics import cached_statistics
from shared.analytics.calendar import Period, is_utc, time_zone, zone_names
from shared.analytics.timelines import Timeline, timeline
from shared.analytics.unaggregated import RollupSubject
from shared.infra.read_replica import reading
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages import charts, dates
from web.pages.staff import render_staff_page
from web.pages.timeline_charts import sums_of, timeline_chart

PERIODS: tuple[Period, ...] = get_args(Period)
LONG_PERIODS: tuple[Period, ...] = ("90d", "1y")
"""Periods that can be shown by week."""


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/analytics", "staff.open_analytics", open_analytics)


@page_requires_role("analyst")
@takes_any_query
def open_analytics() -> Response:
    """Show the scans and visits of a period, and the statistics of all time."""
    organization = current_organization()
    period: Period = next((one for one in PERIODS if one == request.args.get("period")), "30d")
    asked = request.args.get("tz", "")
    zone = asked if asked in zone_names() else dates.viewer_zone()
    weekly = period in LONG_PERIODS and request.args.get("by") == "week"
    compare = request.args.get("compare") == "1"

    subject = RollupSubject(organization.id, organization.id)
    days = reading(timeline, subject, period, zone, datetime.now(UTC))
    before = reading(timeline, subject, period, zone, last_day_before(days, zone)) if compare else None
    counts = cached_statistics.of_organization(organization.id, zone)

    chosen = {"period": period, "tz": zone, "by": "week" if weekly else None, "compare": "1" if compare else None}
    return render_staff_page(
        "analytics/analytics.html",
        active="analytics",
        modules=("pages/analytics.js",),
        period=period,
        periods=PERIODS,
        zone=zone,
        players_are_counted=is_utc(zone),
        weekly=weekly,
        can_be_weekly=period in LONG_PERIODS,
        compare=compare,
        link=lambda **changes: _link(chosen | changes),
        csv=f"/api/organizations/{organization.id}/timeline.csv?{urlencode({'period': period, 'tz': zone})}",
        as_of=dates.clock_time(days.as_of, zone),
        scans=timeline_chart(days, before, weekly=weekly),
        before=sums_of(before) if before is not None else None,
        counts=counts,
        **all_time(counts),
    )


def last_day_before(days: Timeline, zone: str) -> datetime:
    """Return a time on the day before a timeline: a timeline that ends then is the previous period."""
    return datetime.combine(days.days[0] - timedelta(days=1), time(12), time_zone(zone))


def all_time(counts: dict[str, Any]) -> dict[str, Any]:
    """Return the charts of statistics, and the times of their first and last scan."""
    reasons = sorted(counts["reasons"].items(), key=lambda one: (-one[1], one[0]))
    scan_devices, visit_devices = counts["devices"], counts["visits"]["devices"]
    return {
        "reasons": list(zip((name for name, _ in reasons), charts.lengths([n for _, n in reasons]), strict=True)),
        "hours": charts.hours(counts["hours"], "scans"),
        "scan_devices": list(zip(scan_devices, charts.stacked(list(scan_devices.values())), strict=True)),
        "visit_devices": list(zip(visit_devices, charts.stacked(list(visit_devices.values())), strict=True)),
        "first_scan_at": _in_zone(counts["first_scan_at"], counts["tz"]),
        "last_scan_at": _in_zone(counts["last_scan_at"], counts["tz"]),
    }


def _in_zone(at: str | None, zone: str) -> str:
    return dates.zone_time(datetime.fromisoformat(at), zone) if at else "-"


def _link(query: dict[str, str | None]) -> str:
    return "?" + urlencode({name: value for name, value in query.items() if value is not None})
