"""The organizations of the signed-in player, and the overview of one."""

from flask import Flask, Response

from shared.infra import db
from shared.organizations import store
from web.http.auth import current_player_id, page_requires_login, page_requires_role
from web.http.request_context import takes_any_query
from web.pages.layout import current_account, render_page
from web.pages.staff import render_staff_page

MAX_SHOWN = 200


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o", "staff.open_organizations", open_organizations)
    app.add_url_rule("/o/<slug>", "staff.open_overview", open_overview)


@page_requires_login
@takes_any_query
def open_organizations() -> Response:
    """Show the organizations of the player, and the form that creates one."""
    with db.connection() as conn:
        organizations = store.list_for_player(conn, current_player_id(), limit=MAX_SHOWN)
    account = current_account()
    return render_page(
        "organizations/list.html",
        modules=("pages/organizations.js",),
        organizations=organizations,
        is_guest=account is not None and account.is_guest,
    )


@page_requires_role("analyst")
@takes_any_query
def open_overview() -> Response:
    """Show what happens today in an organization."""
    return render_staff_page("organizations/overview.html", active="overview")
