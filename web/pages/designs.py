"""The design of a code, and that of an organization, which its codes have without one of their own."""

from typing import Any
from uuid import UUID

from flask import Flask, Response

from shared.errors import NotFound
from shared.images import organization_designs, store
from shared.images.contrast import MIN_CONTRAST
from shared.images.customizations import Customization
from shared.infra import db
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o/<slug>/design", "staff.open_organization_design", open_organization_design)
    app.add_url_rule("/o/<slug>/codes/<code_id>/design", "staff.open_code_design", open_code_design)


@page_requires_role("admin")
@takes_any_query
def open_code_design(code_id: UUID) -> Response:
    """Show the design of a code."""
    org_id = current_organization().id
    with db.connection() as conn:
        appearance = store.find_appearance(conn, org_id, code_id)
    if appearance is None:
        raise NotFound
    return _render(
        appearance.customization,
        f"/api/organizations/{org_id}/qr-codes/{code_id}/customization",
        code=appearance.code,
        code_id=code_id,
        is_own=appearance.is_own,
    )


@page_requires_role("admin")
@takes_any_query
def open_organization_design() -> Response:
    """Show the design that codes have without one of their own."""
    org_id = current_organization().id
    with db.connection() as conn:
        design = organization_designs.find(conn, org_id)
    return _render(design, f"/api/organizations/{org_id}/customization", code=None, code_id=None, is_own=True)


def _render(design: Customization, api: str, **values: Any) -> Response:
    organization = current_organization()
    stored = {
        "foreground_color": design.foreground_color,
        "background_color": design.background_color,
        "style": design.style,
        "logo_size_percent": design.logo_size_percent,
        "has_logo": design.logo_digest is not None,
    }
    return render_staff_page(
        "codes/design.html",
        active="codes",
        kind="preview",
        modules=("pages/design.js",),
        design=design,
        brand_color=organization.color_light,
        config={"api": api, "stored": stored, "minContrast": MIN_CONTRAST, "code": values["code"]},
        **values,
    )
