"""The editor of a code: a new one, a copy of another, or one that exists."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Flask, Response, request

from shared.codes import store
from shared.codes.rules import DEFAULT_CODE, CodeDefinition
from shared.codes.store import StoredCode
from shared.errors import NotFound
from shared.infra import db
from shared.infra.timestamps import format_rfc3339
from web.http.auth import current_organization, page_requires_role, parse_id
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.staff import render_staff_page

NEW_CODE = replace(DEFAULT_CODE, scan_type="item_drop")


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o/<slug>/codes/new", "staff.open_new_code", open_new_code)
    app.add_url_rule("/o/<slug>/codes/<code_id>/edit", "staff.open_code_editor", open_code_editor)


@page_requires_role("admin")
@takes_any_query
def open_new_code() -> Response:
    """Show an empty editor. `copy_of` in the query fills it with the fields of another code, without its text."""
    code: CodeDefinition = NEW_CODE
    if copy_of := request.args.get("copy_of"):
        try:
            code = replace(_find(parse_id(copy_of)), code="")
        except ValueError:
            raise NotFound from None
    return _render(code, None)


@page_requires_role("admin")
@takes_any_query
def open_code_editor(code_id: UUID) -> Response:
    """Show the editor of a code."""
    return _render(_find(code_id), code_id)


def fields_of(code: CodeDefinition) -> dict[str, Any]:
    """Return the fields of a code as the API has them, for scripts."""
    fields = {name: value for name, value in asdict(code).items() if name in CodeDefinition.__dataclass_fields__}
    if code.encounter is not None:
        fields["encounter"].pop("id")
    return {name: format_rfc3339(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def _find(code_id: UUID) -> StoredCode:
    with db.connection() as conn:
        code = store.find(conn, current_organization().id, code_id)
    if code is None:
        raise NotFound
    return code


def _render(code: CodeDefinition, code_id: UUID | None) -> Response:
    org_id = current_organization().id
    return render_staff_page(
        "codes/edit.html",
        active="codes",
        kind="map",
        devices="location",
        modules=("pages/code-editor.js",),
        code=code,
        code_id=code_id,
        config={"api": f"/api/organizations/{org_id}/qr-codes", "id": code_id, "code": fields_of(code)},
        scan_max_age_hours=current_settings().scan_max_age_hours,
    )
