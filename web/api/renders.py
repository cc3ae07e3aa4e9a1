"""Bulk renders over HTTP: created, listed, downloaded, canceled. Only workers load the renderer."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from shared.codes.schemas import TagText
from shared.errors import CodeRotates, FieldError, Forbidden, Gone, Invalid, NotFound, OrganizationClosed
from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ErrorCorrection, Format
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import yielding
from shared.infra.keys import key_for
from shared.infra.message_sender import background_sender
from shared.infra.storage.factory import storage
from shared.messages import RenderFilesUnneeded, RendersPending
from shared.organizations import store as organizations
from shared.organizations import usage
from shared.renders import signed_links, store
from shared.renders.label_templates import TEMPLATES, Caption
from shared.renders.rules import LINK_TTL, MAX_CODES, Output, Render, RenderOptions, RenderStatus
from web.http.audit_log import record
from web.http.auth import allow_signed_link, current_caller, requires_role
from web.http.file_responses import openapi_responses, send_file
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.relay_wakeup import wake_relay_after_request
from web.http.request_context import max_body_bytes
from web.http.responses import json_response
from web.http.schemas import (
    Body,
    Id,
    LargeBody,
    OrganizationPath,
    Query,
    ResponseModel,
    StrictBool,
    Timestamp,
    WholeNumber,
)
from web.http.settings import current_settings

api = APIBlueprint(
    "renders", __name__, url_prefix="/api/organizations/<org_id>/renders", abp_tags=[Tag(name="Renders")]
)

MAX_BODY_BYTES = 10 * 2**20
"""100,000 ids take four megabytes."""
MAX_ERRORS_LISTED = 20
RENDER_EXAMPLE = "0197a6b0-0000-7000-8000-000000000003"
RENDER_PATH_EXAMPLE = f"/api/organizations/0197a6b0-0000-7000-8000-000000000001/renders/{RENDER_EXAMPLE}"
CONTENT_TYPES: dict[Output, str] = {"zip": "application/zip", "label_sheet": "application/pdf"}
Template = Literal[
    "a4-3x8", "a4-2x7", "a4-3x7", "a4-3x6", "a4-2x4", "a4-5x13", "letter-3x10", "letter-2x10", "letter-2x5"
]


def _only_true(value: bool) -> bool:
    if not value:
        raise ValueError("Use true, or omit this field.")
    return value


LiteralTrue = Annotated[StrictBool, AfterValidator(_only_true), WithJsonSchema({"type": "boolean", "const": True})]


class LabelBody(Body):
    """The template of a label sheet (paper, columns, rows), and the caption beside each code."""

    template: Template = Field("a4-3x8", description=", ".join(f"{n}: {t.sold_as}" for n, t in TEMPLATES.items()))
    caption: Caption = Field(
        "code", description="Shortened to what the label holds at five points, and to 1,200 characters at most"
    )


class RenderBody(LargeBody):
    """The codes, by exactly one of `qr_ids`, `tag` and `all`, and the options of their images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tag": "city-walk",
                    "output": "label_sheet",
                    "label": {"template": "a4-3x8", "caption": "description"},
                },
                {"all": True, "format": "svg", "size": 300, "error_correction": "M"},
            ]
        }
    )

    qr_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_CODES, fail_fast=True)] | None = None
    tag: TagText | None = None
    all: LiteralTrue | None = None
    format: Format = Field("png", description="Format of the images in a ZIP; a label sheet is one PDF")
    size: Annotated[int, WholeNumber(MIN_SIZE, MAX_SIZE)] = Field(300, description="Size of the images in a ZIP")
    error_correction: ErrorCorrection = Field("M", description="Always H for a code with a logo")
    output: Output = "zip"
    label: LabelBody | None = Field(None, description="Options of a label sheet")

    @field_validator("label")
    @classmethod
    def _label_needs_sheet(cls, label: LabelBody | None, fields: ValidationInfo) -> LabelBody | None:
        if label is not None and fields.data.get("output") == "zip":
            raise ValueError("Set output to label_sheet, or omit this field.")
        return label

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if sum(selection is not None for selection in (self.qr_ids, self.tag, self.all)) != 1:
            raise ValueError("Give exactly one of qr_ids, tag and all.")
        return self

    def to_options(self) -> RenderOptions:
        label = self.label or LabelBody()
        label_options = {"template": label.template, "caption": label.caption} if self.output == "label_sheet" else {}
        return RenderOptions(
            output=self.output,
            format=self.format,
            size=self.size,
            error_correction=self.error_correction,
            **label_options,  # type: ignore[arg-type]
        )


class RenderPath(OrganizationPath):
    render_id: Id


class FailedCodeResponse(ResponseModel):
    qr_id: Id
    message: str = Field(examples=["This code was deleted."])


class RenderResponse(ResponseModel):
    """A render. `done` and `failed` count codes.

    `errors` lists the first 500 codes that failed, and `reason` explains why a whole render failed. `download_url` is
    valid without a token for one hour. Each response contains a new one. `expires_at` applies to the file.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "render_id": RENDER_EXAMPLE,
                    "status": "done",
                    "total": 120,
                    "done": 119,
                    "failed": 1,
                    "progress": 1.0,
                    "reason": None,
                    "errors": [
                        {"qr_id": "0197a6b0-0000-7000-8000-000000000002", "message": "This code has been deleted."}
                    ],
                    "output": "label_sheet",
                    "format": "png",
                    "size": 300,
                    "error_correction": "M",
                    "label": {"template": "a4-3x8", "caption": "description"},
                    "created_at": "2026-02-12T10:00:00Z",
                    "finished_at": "2026-02-12T10:00:04Z",
                    "status_url": RENDER_PATH_EXAMPLE,
                    "download_url": f"{RENDER_PATH_EXAMPLE}/download?expires=1770894004&signature=9f2c",
                    "bytes": 182044,
                    "expires_at": "2026-02-19T10:00:04Z",
                }
            ]
        }
    )

    render_id: Id
    status: RenderStatus
    total: int
    done: int
    failed: int
    progress: float = Field(ge=0, le=1)
    reason: str | None
    errors: list[FailedCodeResponse]
    output: Output
    format: Format
    size: int
    error_correction: ErrorCorrection
    label: LabelBody | None
    created_at: Timestamp
    finished_at: Timestamp | None
    status_url: str
    download_url: str | None
    bytes: int | None = Field(description="Size of the file")
    expires_at: Timestamp | None


class DownloadQuery(Query):
    expires: str | None = Field(None, description="Of a signed link: when it expires, in seconds since 1970")
    signature: str | None = Field(None, description="Of a signed link")


class RendersResponse(ResponseModel):
    items: list[RenderResponse]
    next_cursor: str | None


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
            store.check_open(conn, path.org_id)
            qr_ids = _selected(conn, path.org_id, body)
            options = body.to_options()
            render_id = store.add(conn, path.org_id, current_caller().player_id, options, qr_ids)
            limit_mb = current_settings().max_files_mb_per_organization
            usage.check_files(conn, path.org_id, added_bytes=0, limit_mb=limit_mb)
            new = vars(options) | {"codes": len(qr_ids)}
            record(conn, "render.started", org_id=path.org_id, object_id=render_id, new=new)
            payload = _to_response(_find(conn, path.org_id, render_id), [])
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
        render = _find(conn, path.org_id, path.render_id)
        errors = store.list_errors(conn, render.id) if render.failed else []
    return _to_response(render, errors)


@api.get("/<render_id>/download", responses={**openapi_responses("application/zip", "application/pdf"), 410: None})
@allow_signed_link
@requires_role("admin", scope="renders")
def download_render(path: RenderPath, query: DownloadQuery) -> Response:
    """Download the file of a render

    Needs the role admin, or a signed link. Available from the end of the render until `expires_at`, then 410. The
    `download_url` of a render needs no token for one hour. Supports Range requests.
    """
    if query.signature is not None:
        _check_link(path.render_id, query.expires or "", query.signature)
    with db.connection() as conn:
        render = _find(conn, path.org_id, path.render_id)
        if organizations.is_closed(conn, path.org_id):
            raise OrganizationClosed
    if render.file_name is None or render.file_bytes is None:
        raise NotFound("This render has no file.")
    if render.is_expired:
        raise Gone
    name = render.file_name
    return send_file(
        lambda start, stop: storage().read(name, start, stop),
        size=render.file_bytes,
        tag=name.rpartition("/")[2].partition(".")[0],
        content_type=CONTENT_TYPES[render.output],
        filename=f"render-{render.id}.{render.file_extension}",
    )


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
        qr_ids = store.select_code_ids(conn, org_id, body.tag)
        field = "body.all" if body.tag is None else "body.tag"
        if not qr_ids:
            raise Invalid(FieldError(field, "No code is selected."))
        if len(qr_ids) > MAX_CODES:
            raise Invalid(FieldError(field, f"Select at most {MAX_CODES:,} codes, the limit of a render."))
        if not store.has_printable(conn, qr_ids):
            raise CodeRotates(field)
        return qr_ids
    first: dict[UUID, int] = {}
    repeated = [index for index, qr_id in enumerate(yielding(body.qr_ids)) if first.setdefault(qr_id, index) != index]
    if repeated:
        raise Invalid(*(FieldError(f"body.qr_ids.{index}", "Name it once.") for index in repeated[:MAX_ERRORS_LISTED]))
    if unknown := store.find_unknown_indexes(conn, org_id, body.qr_ids, limit=MAX_ERRORS_LISTED):
        raise Invalid(*(FieldError(f"body.qr_ids.{index}", "This organization has no such code.") for index in unknown))
    if rotating := store.find_rotating_indexes(conn, body.qr_ids, limit=MAX_ERRORS_LISTED):
        raise Invalid(*(FieldError(f"body.qr_ids.{index}", CodeRotates.MESSAGE) for index in rotating))
    return body.qr_ids


def _find(conn: Conn, org_id: UUID, render_id: UUID) -> Render:
    render = store.find(conn, org_id, render_id)
    if render is None:
        raise NotFound
    return render


def _to_response(render: Render, errors: list[store.FailedCode]) -> dict[str, Any]:
    status_url = f"/api/organizations/{render.org_id}/renders/{render.id}"
    has_file = render.file_name is not None and not render.is_expired
    label = {"template": render.template, "caption": render.caption} if render.template else None
    fields = vars(render) | {
        "render_id": render.id,
        "progress": round(render.progress, 4),
        "errors": errors,
        "label": label,
        "status_url": status_url,
        "download_url": f"{status_url}/download?{_signed_query(render)}" if has_file else None,
        "bytes": render.file_bytes,
    }
    return RenderResponse.model_validate(fields).model_dump(mode="json")


def _signed_query(render: Render) -> str:
    """Return the query that allows the download without a token."""
    expires = int((datetime.now(UTC) + LINK_TTL).timestamp())
    signature = signed_links.sign(key_for("download links", current_settings()), render.id, expires)
    return urlencode({"expires": expires, "signature": signature})


def _check_link(render_id: UUID, expires: str, signature: str) -> None:
    key, now = key_for("download links", current_settings()), datetime.now(UTC)
    if not signed_links.is_valid(key, render_id, expires, signature, now):
        raise Forbidden("This link has expired, or its signature is not valid.")
