"""Place codes on site: staff stand at a printed code with a phone, which reads the code and knows its position."""

from uuid import UUID

from flask import Flask, Response, request

from shared.codes import store
from shared.codes.store import StoredCode
from shared.errors import CodeDeleted
from shared.infra import db
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.printed_paths import code_paths
from web.pages.staff import render_staff_page


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/place", "staff.open_placement", open_placement)


@page_requires_role("admin")
@takes_any_query
def open_placement() -> Response:
    """Show the camera, and the form that places the code in the query."""
    text = request.args.get("code")
    return render_staff_page(
        "codes/place.html",
        active="codes",
        devices="all",
        modules=("pages/place.js",),
        text=text,
        code=find_code(current_organization().id, text) if text else None,
        code_paths=code_paths(current_settings()),
    )


def find_code(org_id: UUID, text: str) -> StoredCode | None:
    """Return the code of the organization that this text leads to. None for codes of other organizations."""
    try:
        with db.connection() as conn:
            code = store.find_by_code(conn, text)
    except CodeDeleted:
        return None
    return code if code is not None and code.org_id == org_id else None
