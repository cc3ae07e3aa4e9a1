"""The screens that show rotating codes: their links, and who saw them last."""

from flask import Flask, Response, request

from shared.codes import screens
from shared.infra import db
from web.http.auth import current_organization, page_requires_role
from web.http.pagination import InvalidCursor, decode_id, paginate
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page

ROWS = 50
MAX_CODES = 500


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/screens", "staff.open_screens", open_screens)


@page_requires_role("admin")
@takes_any_query
def open_screens() -> Response:
    """Show the links, newest first, and the form that creates one. `qr_id` in the address is the code to start with."""
    org_id = current_organization().id
    try:
        before = decode_id(request.args.get("cursor"))
    except InvalidCursor:
        before = None
    with db.connection() as conn:
        found = screens.list_page(conn, org_id, limit=ROWS + 1, before=before)
        codes = screens.list_codes(conn, org_id, limit=MAX_CODES)
    page, cursor = paginate(found, ROWS, lambda screen: (str(screen.id),))
    return render_staff_page(
        "screens/list.html",
        active="screens",
        kind="preview",
        modules=("pages/screens.js",),
        screens=page,
        codes=codes,
        chosen=request.args.get("qr_id"),
        next_page=cursor and f"?cursor={cursor}",
    )
