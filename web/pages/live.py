"""Live: the scans of an organization as they arrive, in a list and on a map."""

import json
from datetime import UTC, datetime
from typing import get_args

from flask import Flask, Response, request

from shared.analytics.calendar import time_zone
from shared.infra import db, event_log
from shared.reviews import recent_scans, scan_list
from shared.reviews.scan_list import ScanFilter
from shared.scans.model import ScanStatus, ScanType
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages import dates
from web.pages.staff import render_staff_page

MAX_ROWS = 50
MAX_READ_BY_TYPE = 500
"""Scans that are read to find those of codes of one type."""
STATUSES: tuple[ScanStatus, ...] = get_args(ScanStatus)
TYPES: tuple[ScanType, ...] = get_args(ScanType)


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/live", "staff.open_live", open_live)


@page_requires_role("analyst")
@takes_any_query
def open_live() -> Response:
    """Show the last scans. The page continues with the events after them."""
    organization = current_organization()
    filters = read_filters()
    now = datetime.now(UTC)
    with db.connection() as conn:
        # Before the scans: an event that follows this position may be in the list too, but none is missing.
        position = event_log.last_position(conn)
        counts = recent_scans.count_recent(conn, organization.id, now)
        scan_type = filters["scan_type"]
        limit = MAX_READ_BY_TYPE if scan_type else MAX_ROWS
        found = scan_list.list_scans(conn, organization.id, to_conditions(filters), limit=limit)
    scans = [scan for scan in found if scan_type in ("", scan.encounter_type)][:MAX_ROWS]
    state = {
        "orgId": str(organization.id),
        "position": str(position),
        "counts": [[int(one.at.timestamp()), one.count, one.success] for one in counts],
    }
    return render_staff_page(
        "live/live.html",
        active="live",
        kind="map",
        modules=("pages/live.js",),
        zone=time_zone(dates.viewer_zone()),
        scans=scans,
        state=json.dumps(state),
        filters=filters,
        statuses=STATUSES,
        scan_types=TYPES,
    )


def read_filters() -> dict[str, str]:
    """Return the conditions in the URL. Those that do not exist are left out."""
    status, scan_type = request.args.get("status", ""), request.args.get("scan_type", "")
    return {
        "status": status if status in STATUSES else "",
        "scan_type": scan_type if scan_type in TYPES else "",
        "tag": request.args.get("tag", "").replace("\0", "").strip()[:64],
        "code": request.args.get("code", "").replace("\0", "").strip()[:2048],
        "failures": "1" if request.args.get("failures") == "1" else "",
    }


def to_conditions(filters: dict[str, str]) -> ScanFilter:
    """Return the conditions of the list of scans. It has none for the type of the code."""
    status = next((one for one in STATUSES if one == filters["status"]), None)
    return ScanFilter(
        status="failure" if filters["failures"] else status,
        code=filters["code"] or None,
        tag=filters["tag"] or None,
    )
