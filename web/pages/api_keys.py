"""The API keys of an organization."""

from datetime import UTC, datetime, timedelta

from flask import Flask, Response, request

from shared.infra import db
from shared.organizations import api_keys
from shared.organizations.api_keys import SCOPES
from shared.reviews import known_players
from web.http.auth import current_organization, page_requires_role
from web.http.pagination import decode_id, paginate
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page

PAGE = 100
SOON = timedelta(days=14)
"""A key that expires within this time is marked."""


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/api-keys", "staff.open_api_keys", open_api_keys)


@page_requires_role("admin")
@takes_any_query
def open_api_keys() -> Response:
    """Show the keys, and create and revoke them."""
    organization = current_organization()
    before = decode_id(request.args.get("cursor"))
    with db.connection() as conn:
        found = api_keys.list_for_organization(conn, organization.id, limit=PAGE + 1, before=before)
        creators = {key.created_by for key in found if key.created_by is not None}
        names = known_players.list_names(conn, organization.id, creators) if creators else []
    keys, cursor = paginate(found, PAGE, lambda key: (str(key.id),))
    return render_staff_page(
        "organizations/api_keys.html",
        active="api_keys",
        modules=("pages/api-keys.js",),
        keys=keys,
        next_path=cursor and f"?cursor={cursor}",
        names={name.player_id: name.username for name in names},
        scopes=SCOPES,
        now=datetime.now(UTC),
        soon=datetime.now(UTC) + SOON,
    )
