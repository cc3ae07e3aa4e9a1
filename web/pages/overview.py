"""The overview of an organization: what happens today, in one time zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Flask, Response

from shared.analytics.calendar import day_bounds, time_zone
from shared.analytics.timelines import Timeline, timeline
from shared.analytics.unaggregated import RollupSubject
from shared.codes import store as codes
from shared.codes.filters import CodeFilter
from shared.images.code_url import code_url
from shared.infra import db, event_log
from shared.organizations.rules import includes_role
from shared.reviews import scan_list
from shared.reviews.recent_days import RecentDays, recent_days
from shared.reviews.scan_list import ScanFilter
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages import charts, dates
from web.pages.layout import go_to
from web.pages.staff import render_staff_page

LATEST_SCANS = 10


@dataclass(frozen=True)
class Figure:
    """A count of today and of yesterday. `is_share`: as percent. None: there is nothing to count it from."""

    name: str
    today: float | None
    yesterday: float | None
    is_share: bool = False
    is_lower_bound: bool = False


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>", "staff.open_overview", open_overview)


@page_requires_role("member")
@takes_any_query
def open_overview() -> Response:
    """Show the figures of today, the latest scans and, until the first scan, how to get there.

    Members, who see no scans, get to the codes.
    """
    organization = current_organization()
    if not includes_role(organization.role, "analyst"):
        return go_to(f"/o/{organization.slug}/codes")
    zone, now = dates.viewer_zone(), datetime.now(UTC)
    with db.connection() as conn:
        position = event_log.last_position(conn)
        days = timeline(conn, RollupSubject(organization.id, organization.id), "30d", zone, now)
        yesterday, today, _ = day_bounds(days.days[-2:], time_zone(zone))
        recent = recent_days(conn, organization.id, yesterday=yesterday, today=today)
        scans = scan_list.list_scans(conn, organization.id, ScanFilter(), limit=LATEST_SCANS)
        newest = codes.list_for_organization(conn, organization.id, CodeFilter(active=True), limit=1)
    code = newest[0] if newest else None
    return render_staff_page(
        "organizations/overview.html",
        active="overview",
        modules=("pages/overview.js",),
        position=position,
        figures=figures_of(days, recent),
        sparkline_points=charts.sparkline(days.count),
        total=sum(days.count),
        as_of=dates.clock_time(days.as_of, zone),
        zone=zone,
        recent=recent,
        scans=scans,
        code=code,
        code_url=code and code_url(code.code),
        is_new=not scans and includes_role(organization.role, "admin"),
    )


def figures_of(days: Timeline, recent: RecentDays) -> Sequence[Figure]:
    """Return the figures of the page. `days` ends today."""
    bound = not recent.is_complete
    return (
        Figure("scans", days.count[-1], days.count[-2]),
        Figure("success", _share(days, -1), _share(days, -2), is_share=True),
        Figure("players", recent.players, recent.players_before, is_lower_bound=bound),
        Figure("held", recent.held, recent.held_before, is_lower_bound=bound),
    )


def _share(days: Timeline, index: int) -> float | None:
    return days.success[index] / days.count[index] if days.count[index] else None
