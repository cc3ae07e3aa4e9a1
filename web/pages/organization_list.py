"""The organizations of the signed-in player."""

from typing import Literal

from flask import Flask, Response

from shared.infra import db
from shared.organizations import store
from shared.organizations.rules import includes_role
from shared.reviews.activity import activity_by_organization
from web.http.auth import current_player_id, page_requires_login
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.layout import current_account, render_page

MAX_SHOWN = 200


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o", "staff.open_organizations", open_organizations)


@page_requires_login
@takes_any_query
def open_organizations() -> Response:
    """Show the organizations of the player, and the form that creates one.

    Held scans are shown to admins, and the last activity to analysts.
    """
    with db.connection() as conn:
        organizations = store.list_for_player(conn, current_player_id(), limit=MAX_SHOWN)
        activities = activity_by_organization(conn, [one.id for one in organizations if one.role != "member"])
    return render_page(
        "organizations/list.html",
        modules=("pages/organizations.js",),
        organizations=organizations,
        activities=activities,
        is_admin=lambda organization: includes_role(organization.role, "admin"),
        creation=_creation(),
    )


def _creation() -> Literal["open", "needs account", "operators"]:
    """Return whether this player may create an organization, or else who may."""
    account, allowed = current_account(), current_settings().organization_creation
    if allowed == "operators":
        return "operators"
    return "needs account" if allowed == "accounts" and account is not None and account.is_guest else "open"
