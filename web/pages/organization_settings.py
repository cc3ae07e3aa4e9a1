"""The settings of an organization: name and addresses, branding, fair play, positions, deletion."""

from flask import Flask, Response

from shared.infra import db
from shared.organizations import slugs
from shared.organizations.branding import logo_path
from shared.organizations.rules import MAX_SLUGS, RESTORE_PERIOD
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.staff import render_staff_page


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/settings", "staff.open_settings", open_settings)


@page_requires_role("owner", in_closed=True)
@takes_any_query
def open_settings() -> Response:
    """Show the settings. Those of a closed organization only offer to restore it."""
    organization = current_organization()
    with db.connection() as conn:
        aliases = slugs.list_aliases(conn, organization.id, limit=MAX_SLUGS, after="")
    return render_staff_page(
        "organizations/settings.html",
        active="settings",
        kind="preview",
        modules=("pages/organization-settings.js",),
        aliases=aliases,
        fair_play=organization.fair_play or {},
        logo=logo_path(organization.slug, organization.logo_digest),
        address=current_settings().public_base_url,
        erased_after=organization.closed_at and organization.closed_at + RESTORE_PERIOD,
    )
