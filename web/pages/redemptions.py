"""The service counter, and the redemptions of an organization."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Flask, Response, request

from shared.analytics.calendar import Period, day_bounds, period_days, time_zone
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339
from shared.redemptions import items, redemption_list
from shared.redemptions.redemption_list import RedemptionFilter, RedemptionPosition
from shared.redemptions.rules import UNDO_PERIOD, Redemption
from shared.reviews import known_players
from web.http.auth import current_organization, current_player_id, page_requires_role
from web.http.pagination import InvalidCursor, decode_cursor, paginate
from web.http.request_context import takes_any_query
from web.pages.dates import long_day
from web.pages.periods import current_period, current_zone, start_of
from web.pages.staff import render_staff_page

ROWS = 50
MAX_ITEMS = 200
MAX_RECENT = 20
MAX_SUMS = 100
"""Sums by day, item and counter that the page shows. A year with many items has far more."""
DEFAULT_PERIOD: Period = "30d"


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o/<slug>/counter", "staff.open_counter", open_counter)
    app.add_url_rule("/o/<slug>/redemptions", "staff.open_redemptions", open_redemptions)


@page_requires_role("admin")
@takes_any_query
def open_counter() -> Response:
    """Show the counter, with what the caller redeemed in the last minutes: it can be undone."""
    org_id = current_organization().id
    mine = RedemptionFilter(counter=current_player_id(), since=datetime.now(UTC) - UNDO_PERIOD)
    with db.connection() as conn:
        found = redemption_list.list_redemptions(conn, org_id, mine, limit=MAX_RECENT)
        names = _names(conn, org_id, found)
    recent: list[dict[str, Any]] = [
        {
            "id": str(redemption.id),
            "item": redemption.item,
            "quantity": redemption.quantity,
            "player": names.get(redemption.player_id, ""),
            "at": redemption.at.isoformat(),
        }
        for redemption in found
        if redemption.undone_at is None
    ]
    return render_staff_page(
        "redemptions/counter.html",
        active="counter",
        modules=("pages/counter.js",),
        devices="all",
        recent=recent,
        undo_seconds=int(UNDO_PERIOD.total_seconds()),
    )


@page_requires_role("admin")
@takes_any_query
def open_redemptions() -> Response:
    """Show what was redeemed: the items with their limits, sums by day, and each redemption."""
    org_id = current_organization().id
    period, tz = current_period() or DEFAULT_PERIOD, current_zone()
    item = request.args.get("item", "")
    since, zone = start_of(period, tz), time_zone(tz)
    days = period_days(period, zone, datetime.now(UTC))
    with db.connection() as conn:
        known = items.list_items(conn, org_id, limit=MAX_ITEMS)
        item = item if item in {each.item for each in known} else ""
        conditions = RedemptionFilter(item=item or None, since=since)
        position = _position()
        found = redemption_list.list_redemptions(conn, org_id, conditions, limit=ROWS + 1, before=position)
        daily = []
        # Further pages add rows to the list only.
        if position is None:
            bounds = day_bounds(days, zone)
            daily = redemption_list.list_daily(conn, org_id, days, bounds, item=item or None, limit=MAX_SUMS + 1)
        names = _names(conn, org_id, found)
    page, cursor = paginate(found, ROWS, lambda each: (each.at.isoformat(), str(each.id)))
    query = {"period": period, "tz": tz} | ({"item": item} if item else {})
    csv = {"since": format_rfc3339(since)} | ({"item": item} if item else {})
    return render_staff_page(
        "redemptions/list.html",
        active="redemptions",
        modules=("pages/redemptions.js",),
        items=known,
        daily=daily[:MAX_SUMS],
        max_sums=MAX_SUMS if len(daily) > MAX_SUMS else None,
        redemptions=page,
        names=names,
        item=item,
        period=period,
        tz=tz,
        csv_query=urlencode(csv),
        next_page=cursor and f"?{urlencode(query | {'cursor': cursor})}",
        now=datetime.now(UTC),
        long_day=long_day,
    )


def _names(conn: Conn, org_id: UUID, redemptions: list[Redemption]) -> dict[UUID, str]:
    """Return the usernames of the players of redemptions."""
    known = known_players.list_names(conn, org_id, {redemption.player_id for redemption in redemptions})
    return {player.player_id: player.username for player in known}


def _position() -> RedemptionPosition | None:
    try:
        at, redemption_id = decode_cursor(request.args["cursor"], 2)
        time = datetime.fromisoformat(at)
        return RedemptionPosition(time, UUID(redemption_id)) if time.tzinfo else None
    except (KeyError, InvalidCursor, ValueError):
        return None
