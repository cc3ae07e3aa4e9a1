"""Bulk renders over HTTP: created, listed, canceled. Only workers load the renderer."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag

from shared.errors import CodeRotates, FieldError, Invalid, NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import yielding
from shared.infra.message_sender import background_sender
from shared.messages import RenderFilesUnneeded, RendersPending
from shared.organizations import usage
from shared.renders import code_selection, label_template_store, store
from shared.renders.label_templates import TEMPLATES
from shared.renders.rules import MAX_CODES, Render, RenderOptions
from web.api.render_downloads import download_url, find_render
from web.api.render_schemas import LabelBody, RenderBody, RenderPath, RenderResponse, RendersResponse
from web.http.audit_log import record
from web.http.auth import current_caller, requires_role
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.relay_wakeup import wake_relay_after_request
from web.http.request_context import max_body_bytes
from web.http.responses import json_response
from web.http.schemas import OrganizationPath
from web.http.settings import current_settings

api = APIBlueprint(
    "renders", __name__, url_prefix="/api/organizations/<org_id>/renders", abp_tags=[Tag(name="Renders")]
)

MAX_BODY_BYTES = 10 * 2**20
"""100,000 ids take four megabytes."""
MAX_ERRORS_LISTED = 20


@api.post("", responses={202: RenderResponse, 409: None})
@requires_role("admin", scope="renders")
@max_body_bytes(MAX_BODY_BYTES)
@documents_idempotency_key
def create_render(path: OrganizationPath, body: RenderBody) -> Response:
    """Render the images of many codes into one file

    Needs the role admin. Up to 100,000 codes as a ZIP of images or a PDF of labels. The codes are selected now, and
    workers render their current text and appearance. Poll `status_url`, or wait for the events `render_progress` and
    `render_done`. A rotating code is 422 if `qr_ids` names it, or if no other is selected, and otherwise an error of
    the render. A retry with the same Idempotency-Key starts no second render. 409 if the quota for files is used up, or
    if the organization has 100 open renders.
    """

    def add() -> Response:
        with transaction() as conn:
            qr_ids = _selected(conn, path.org_id, body)
            options = _to_options(conn, path.org_id, body)
            render_id = store.add(conn, path.org_id, current_caller().player_id, options, qr_ids)
            limit_mb = current_settings().max_files_mb_per_organization
            usage.check_files(conn, path.org_id, added_bytes=0, limit_mb=limit_mb)
            # Behind the lock of the usage, which check_files takes: requests that arrive at once are counted in turn.
            store.check_open(conn, path.org_id)
            new = _audit_fields(options) | {"codes": len(qr_ids)}
            record(conn, "render.started", org_id=path.org_id, object_id=render_id, new=new)
            payload = _to_response(find_render(conn, path.org_id, render_id), [])
        return json_response(payload, 202, Location=payload["status_url"], Retry_After="1")

    response = run_once(current_caller().id, add)
    background_sender.submit(RendersPending())
    return response


@api.get("", responses={200: RendersResponse})
@requires_role("admin", scope="renders")
def list_renders(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """List the renders of an organization

    Needs the role admin. Newest first. `errors` is empty here: get a single render to see which codes failed.
    """
    before = decode_id(query.cursor)
    with db.connection() as conn:
        renders = store.list_for_organization(conn, path.org_id, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(renders, query.limit, lambda render: (str(render.id),))
    return {"items": [_to_response(render, []) for render in page], "next_cursor": next_cursor}


@api.get("/<render_id>", responses={200: RenderResponse})
@requires_role("admin", scope="renders")
def get_render(path: RenderPath) -> dict[str, Any]:
    """Get the progress of a render

    Needs the role admin. Once the render is done, `download_url` links to its file.
    """
    with db.connection() as conn:
        render = find_render(conn, path.org_id, path.render_id)
        errors = store.list_errors(conn, render.id) if render.failed else []
    return _to_response(render, errors)


@api.delete("/<render_id>", responses={204: None})
@requires_role("admin", scope="renders")
def cancel_render(path: RenderPath) -> tuple[str, int]:
    """Cancel a render, or delete its file

    Needs the role admin. An open render is canceled: workers stop before the next image. The file of a finished render
    expires at once. Repeating the request has no further effect.
    """
    with db.transaction() as conn:
        if not store.cancel(conn, path.org_id, path.render_id):
            raise NotFound
        record(conn, "render.canceled", org_id=path.org_id, object_id=path.render_id)
    wake_relay_after_request()
    background_sender.submit(RenderFilesUnneeded(str(path.render_id)))
    return "", 204


def _selected(conn: Conn, org_id: UUID, body: RenderBody) -> list[UUID]:
    """Return the selected codes in order. Raise Invalid for duplicate, unknown and rotating codes, and for
    too many or none."""
    if body.qr_ids is None:
        qr_ids = code_selection.select_code_ids(conn, org_id, body.tag)
        field = "body.all" if body.tag is None else "body.tag"
        if not qr_ids:
            raise Invalid(FieldError(field, "No code is selected."))
        if len(qr_ids) > MAX_CODES:
            raise Invalid(FieldError(field, f"Select at most {MAX_CODES:,} codes, the limit of a render."))
        if not code_selection.has_printable(conn, qr_ids):
            raise CodeRotates(field)
        return qr_ids
    first: dict[UUID, int] = {}
    repeated = [index for index, qr_id in enumerate(yielding(body.qr_ids)) if first.setdefault(qr_id, index) != index]
    if repeated:
        raise Invalid(*(FieldError(f"body.qr_ids.{index}", "Name it once.") for index in repeated[:MAX_ERRORS_LISTED]))
    if unknown := code_selection.find_unknown_indexes(conn, org_id, body.qr_ids, limit=MAX_ERRORS_LISTED):
        raise Invalid(*(FieldError(f"body.qr_ids.{index}", "This organization has no such code.") for index in unknown))
    if rotating := code_selection.find_rotating_indexes(conn, body.qr_ids, limit=MAX_ERRORS_LISTED):
        raise Invalid(*(FieldError(f"body.qr_ids.{index}", CodeRotates.MESSAGE) for index in rotating))
    return body.qr_ids


def _to_options(conn: Conn, org_id: UUID, body: RenderBody) -> RenderOptions:
    """Return the options with the measures of the template as they are now. Raise Invalid for an unknown template."""
    options = RenderOptions(
        output=body.output, format=body.format, size=body.size, error_correction=body.error_correction
    )
    if body.output == "zip":
        return options
    label = body.label or LabelBody()
    found = label_template_store.find(conn, org_id, label.template)
    if found is None:
        names = ", ".join(TEMPLATES)
        message = f"Use {names}, or the name or id of a label template of this organization."
        raise Invalid(FieldError("body.label.template", message))
    if label.start_at > found.sheet.per_page:
        message = f"Use a label from 1 to {found.sheet.per_page}, the labels of a sheet of this template."
        raise Invalid(FieldError("body.label.start_at", message))
    return replace(options, template=found.name, sheet=found.sheet, caption=label.caption, start_at=label.start_at)


def _audit_fields(options: RenderOptions) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name != "sheet"}


def _to_response(render: Render, errors: list[store.FailedCode]) -> dict[str, Any]:
    has_file = render.file_name is not None and not render.is_expired
    label = {"template": render.template, "caption": render.caption, "start_at": render.start_at}
    fields = vars(render) | {
        "render_id": render.id,
        "progress": round(render.progress, 4),
        "errors": errors,
        "label": label if render.sheet else None,
        "status_url": f"/api/organizations/{render.org_id}/renders/{render.id}",
        "download_url": download_url(render) if has_file else None,
        "bytes": render.file_bytes,
    }
    return RenderResponse.model_validate(fields).model_dump(mode="json")
