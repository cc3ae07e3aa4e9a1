"""The map of an organization's codes."""

from flask import Flask, Response, request

from shared.codes import places
from shared.codes.places import PLACE_COLUMNS, MapView
from shared.infra import db
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages.codes import FILTERS, filter_of
from web.pages.staff import render_staff_page

WORLD = MapView(-180, -90, 180, 90, 2)
LISTED = 100
"""Codes in the list before the script has asked for those in its view."""


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/map", "staff.open_map", open_map)


@page_requires_role("member")
@takes_any_query
def open_map() -> Response:
    """Show the codes that have a location and match the filters in the query."""
    organization = current_organization()
    filters = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    with db.connection() as conn:
        rows = places.list_places(conn, organization.id, filter_of(request.args), WORLD)
    listed = [dict(zip(PLACE_COLUMNS, row, strict=True)) for row in rows or ()]
    return render_staff_page(
        "codes/map.html",
        active="map",
        kind="map",
        modules=("pages/map.js",),
        is_empty=rows is not None and not rows,
        listed=sorted(listed, key=lambda place: str(place["code"]))[:LISTED],
        filters=filters,
    )
