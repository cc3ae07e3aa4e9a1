"""The review queue, the detail of a scan, and the simulator."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask import Flask, Response

from shared.errors import NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.reviews import explanation, known_players, scan_counts, scan_list, store
from shared.reviews.scan_list import ScanFilter, ScanPosition
from shared.reviews.store import Review
from shared.scans.judging_limits import from_settings
from web.http.auth import current_organization, page_requires_role
from web.http.pagination import paginate
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.scans import ROWS, read_position
from web.pages.staff import render_staff_page, sees

RECENT = 10
"""Earlier scans of the player, on the page of a scan."""


@dataclass(frozen=True)
class Decision:
    """Who released or annulled a scan, and when. `name` is None if they are no longer known."""

    name: str | None
    at: datetime


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o/<slug>/reviews", "staff.open_reviews", open_reviews)
    app.add_url_rule("/o/<slug>/reviews/<scan_id>", "staff.open_review", open_review)
    app.add_url_rule("/o/<slug>/scans/<scan_id>", "staff.open_scan", open_scan)


@page_requires_role("admin")
@takes_any_query
def open_reviews() -> Response:
    """Show the scans that wait for a review."""
    org_id = current_organization().id
    with db.connection() as conn:
        found = scan_list.list_scans(conn, org_id, ScanFilter("held"), limit=ROWS + 1, before=read_position())
        held = scan_counts.count_held(conn, org_id)
    page, cursor = paginate(found, ROWS, lambda scan: (scan.scanned_at.isoformat(), str(scan.scan_id)))
    return render_staff_page(
        "reviews/list.html",
        active="reviews",
        modules=("pages/reviews.js",),
        scans=page,
        number=held,
        next_page=cursor and f"?cursor={cursor}",
    )


@page_requires_role("admin")
@takes_any_query
def open_review(scan_id: UUID) -> Response:
    """Show a scan of the review queue."""
    return _render_scan(scan_id, active="reviews")


@page_requires_role("analyst")
@takes_any_query
def open_scan(scan_id: UUID) -> Response:
    """Show a scan. Names, positions and checks are for admins only."""
    return _render_scan(scan_id, active="scans")


def _render_scan(scan_id: UUID, *, active: str) -> Response:
    org_id = current_organization().id
    with db.connection() as conn:
        scan = store.find(conn, org_id, scan_id)
        if scan is None:
            raise NotFound
        position = ScanPosition(scan.scanned_at, scan.scan_id)
        by_player = ScanFilter(player_id=scan.player_id)
        earlier = scan_list.list_scans(conn, org_id, by_player, limit=RECENT, before=position)
        explained = explanation.explain(conn, scan, from_settings(current_settings())) if sees("admin") else None
        decision = _decision(conn, org_id, scan) if sees("admin") else None
        neighbors = scan_list.find_held_neighbors(conn, org_id, position) if active == "reviews" else None
    has_map = sees("admin") and scan.latitude is not None
    return render_staff_page(
        "reviews/scan.html",
        active=active,
        modules=("pages/reviews.js", *(("pages/scan-map.js",) if has_map else ())),
        kind="map" if has_map else "page",
        scan=scan,
        earlier=earlier,
        previous=next((before for before in earlier if before.status in ("success", "held") and before.latitude), None),
        explained=explained,
        decision=decision,
        neighbors=neighbors,
    )


def _decision(conn: Conn, org_id: UUID, scan: Review) -> Decision | None:
    """Return the review of a scan. None if it had none. An operator's has no reviewer."""
    if scan.reviewed_at is None:
        return None
    reviewers = [] if scan.reviewed_by is None else known_players.list_names(conn, org_id, [scan.reviewed_by])
    return Decision(reviewers[0].username if reviewers else None, scan.reviewed_at)
