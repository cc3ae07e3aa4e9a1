"""The list of an organization's scans, and one scan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from flask import Flask, Response, request

from shared.analytics import statistics
from shared.analytics.timelines import timeline
from shared.analytics.unaggregated import RollupSubject
from shared.infra import db
from shared.infra.db import Conn
from shared.reviews import scan_counts, scan_list
from shared.reviews.scan_list import ScanPosition
from shared.reviews.store import Review
from web.http.auth import current_organization, page_requires_role
from web.http.pagination import InvalidCursor, decode_cursor, paginate
from web.http.request_context import takes_any_query
from web.pages.periods import current_zone
from web.pages.scan_filters import ScanFilters, read_filters
from web.pages.staff import render_staff_page, sees

ROWS = 50
MAX_COUNTED = 5_000
"""Scans that are read to count them. More are counted by the rollups, where these can filter."""


@dataclass(frozen=True)
class Total:
    """How many scans the list has. `pending` ones have no verdict, and are not in `settled`, as in Analytics."""

    settled: int
    pending: int
    is_exact: bool = True


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/scans", "staff.open_scans", open_scans)


@page_requires_role("analyst")
@takes_any_query
def open_scans() -> Response:
    """Show the scans with the filters of the address, newest first."""
    org_id = current_organization().id
    before, tz = read_position(), current_zone()
    with db.connection() as conn:
        filters = read_filters(conn, org_id, tz, sees_names=sees("admin"))
        found: Sequence[Review] = []
        total = Total(0, 0)
        if filters.conditions is not None:
            found = scan_list.list_scans(conn, org_id, filters.conditions, limit=ROWS + 1, before=before)
            total = _total(conn, org_id, filters, found)
    page, cursor = paginate(found, ROWS, lambda scan: (scan.scanned_at.isoformat(), str(scan.scan_id)))
    return render_staff_page(
        "scans/list.html",
        active="scans",
        modules=("pages/scans.js",),
        filters=filters,
        scans=page,
        total=total,
        next_page=cursor and f"?{filters.query(cursor=cursor)}",
    )


def read_position() -> ScanPosition | None:
    """Return the position after which the page starts. None for the first page."""
    try:
        at, scan_id = decode_cursor(request.args["cursor"], 2)
        scan_time = datetime.fromisoformat(at)
        return ScanPosition(scan_time, UUID(scan_id)) if scan_time.tzinfo else None
    except (KeyError, InvalidCursor, ValueError):
        return None


def _total(conn: Conn, org_id: UUID, filters: ScanFilters, found: Sequence[Review]) -> Total:
    conditions = filters.conditions
    assert conditions is not None  # noqa: S101 - for the type checker
    listed = scan_counts.count_scans(conn, org_id, conditions, max_read=MAX_COUNTED)
    # If there are more, one of those that are known is not counted: the page says "more than".
    count = listed.count if listed.is_exact else max(listed.count, len(found)) - 1
    if filters.status == "pending":
        return Total(0, count, listed.is_exact)
    pending = 0
    if filters.status is None:
        no_verdict = replace(conditions, status="pending")
        pending = scan_counts.count_scans(conn, org_id, no_verdict, max_read=MAX_COUNTED).count
    if not listed.is_exact and (counted := _count_by_rollups(conn, org_id, filters, found)) is not None:
        return Total(counted, pending)
    return Total(max(count - pending, 0), pending, listed.is_exact)


def _count_by_rollups(conn: Conn, org_id: UUID, filters: ScanFilters, found: Sequence[Review]) -> int | None:
    """Return the number of settled scans that Analytics shows. None for filters that it does not have."""
    if filters.tag or filters.player or not found:
        return None
    subject = RollupSubject(found[0].qr_id if filters.code else org_id, org_id)
    if filters.period is None:
        counts = statistics.scan_statistics(conn, subject)
        if filters.reason is not None:
            return counts.reasons.get(filters.reason, 0) if filters.status == "failure" else None
        return counts.settled if filters.status is None else int(getattr(counts, filters.status))
    if filters.reason is not None or filters.status not in (None, "success"):
        return None
    days = timeline(conn, subject, filters.period, filters.tz, datetime.now(UTC))
    return sum(days.success if filters.status else days.count)
