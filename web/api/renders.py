"""Bulk renders over HTTP: asked for, watched, downloaded, canceled. Workers draw; nothing here loads the renderer."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from shared.codes.schemas import TagText
from shared.errors import FieldError, Forbidden, Gone, Invalid, NotFound
from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ErrorCorrection, Format
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.keys import key_for
from shared.infra.message_sender import background_sender
from shared.infra.storage.factory import storage
from shared.messages import RenderFilesUnneeded, RendersPending
from shared.renders import signed_links, store
from shared.renders.label_templates import TEMPLATES, Caption
from shared.renders.rules import LINK_TTL, MAX_CODES, Output, Render, RenderOptions, RenderStatus
from web.http.audit_log import record
from web.http.auth import allow_signed_link, current_caller, requires_role
from web.http.file_responses import openapi_responses, send_file
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.request_context import max_body_bytes
from web.http.responses import json_response
from web.http.schemas import Body, Id, Integer, OrganizationPath, ResponseModel, StrictBool, Timestamp

api = APIBlueprint(
    "renders", __name__, url_prefix="/api/organizations/<org_id>/renders", abp_tags=[Tag(name="Renders")]
)

MAX_BODY_BYTES = 10 * 2**20
"""A hundred thousand ids take four."""
MAX_ERRORS_LISTED = 20
CONTENT_TYPES: dict[Output, str] = {"zip": "application/zip", "label_sheet": "application/pdf"}
Template = Literal[
    "a4-3x8", "a4-2x7", "a4-3x7", "a4-3x6", "a4-2x4", "a4-5x13", "letter-3x10", "letter-2x10", "letter-2x5"
]


def _only_true(value: bool) -> bool:
    if not value:
        raise ValueError("must be true where it is given")
    return value


LiteralTrue = Annotated[StrictBool, AfterValidator(_only_true), WithJsonSchema({"type": "boolean", "const": True})]


class LabelBody(Body):
    """A sheet of labels, by its paper, columns and rows, and what stands beside each code."""

    template: Template = Field("a4-3x8", description=", ".join(f"{n}: {t.sold_as}" for n, t in TEMPLATES.items()))
    caption: Caption = "code"


class RenderBody(Body):
    """Which codes (exactly one of qr_ids, tag and all), and how their pictures are to be."""

    qr_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_CODES, fail_fast=True)] | None = None
    tag: TagText | None = None
    all: LiteralTrue | None = None
    format: Format = Field("png", description="Of a ZIP's pictures; a label sheet is one PDF")
    size: Annotated[Integer, Field(ge=MIN_SIZE, le=MAX_SIZE, description="Of a ZIP's pictures")] = 300
    error_correction: ErrorCorrection = Field("M", description="H wherever the code has a logo")
    output: Output = "zip"
    label: LabelBody | None = Field(None, description="Of a label sheet")

    @field_validator("label")
    @classmethod
    def _label_needs_sheet(cls, label: LabelBody | None, fields: ValidationInfo) -> LabelBody | None:
        if label is not None and fields.data.get("output") == "zip":
            raise ValueError("is of a label sheet: output must be label_sheet")
        return label

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if sum(part is not None for part in (self.qr_ids, self.tag, self.all)) != 1:
            raise ValueError("exactly one of qr_ids, tag and all must be given")
        return self

    def to_options(self) -> RenderOptions:
        label = self.label or LabelBody()
        of_labels = {"template": label.template, "caption": label.caption} if self.output == "label_sheet" else {}
        return RenderOptions(
            output=self.output,
            format=self.format,
            size=self.size,
            error_correction=self.error_correction,
            **of_labels,  # type: ignore[arg-type]
        )


class RenderPath(OrganizationPath):
    render_id: Id


class FailedCodeResponse(ResponseModel):
    qr_id: Id
    message: str


class RenderResponse(ResponseModel):
    """A render. `done` and `failed` count codes; `errors` tells of the first 500 that failed, `reason` why all did.
    `download_url` works for an hour without a token: ask again for another one. `expires_at` is the file's."""

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
    bytes: int | None = Field(description="Of the file")
    expires_at: Timestamp | None


class RendersResponse(ResponseModel):
    items: list[RenderResponse]
    next_cursor: str | None


@api.post("", responses={202: RenderResponse})
@requires_role("admin", scope="renders")
@max_body_bytes(MAX_BODY_BYTES)
@documents_idempotency_key
def create_render(path: OrganizationPath, body: RenderBody) -> Response:
    """Ask for the pictures of many codes. Which codes they are is settled now; workers draw them as they are then."""

    def add() -> Response:
        with transaction() as conn:
            qr_ids = _selected(conn, path.org_id, body)
            asked = body.to_options()
            render_id = store.add(conn, path.org_id, current_caller().player_id, asked, qr_ids)
            new = vars(asked) | {"codes": len(qr_ids)}
            record(conn, "render.started", org_id=path.org_id, object_id=render_id, new=new)
            told = _to_response(_find(conn, path.org_id, render_id), [])
        return json_response(told, 202, Location=told["status_url"], Retry_After="1")

    response = run_once(current_caller().id, add)
    background_sender.submit(RendersPending())
    return response


@api.get("", responses={200: RendersResponse})
@requires_role("admin", scope="renders")
def list_renders(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """The organization's renders, newest first. Which codes failed is told by each one itself."""
    before = decode_id(query.cursor)
    with db.connection() as conn:
        found = store.of_organization(conn, path.org_id, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda render: (str(render.id),))
    return {"items": [_to_response(render, []) for render in page], "next_cursor": next_cursor}


@api.get("/<render_id>", responses={200: RenderResponse})
@requires_role("admin", scope="renders")
def get_render(path: RenderPath) -> dict[str, Any]:
    """How far a render has come, and where its file is."""
    with db.connection() as conn:
        found = _find(conn, path.org_id, path.render_id)
        errors = store.list_errors(conn, found.id) if found.failed else []
    return _to_response(found, errors)


@api.get("/<render_id>/download", responses={**openapi_responses("application/zip", "application/pdf"), 410: None})
@allow_signed_link
@requires_role("admin", scope="renders")
def download_render(path: RenderPath) -> Response:
    """The file, once the render is done and until it expires. With a token, or by the `download_url` that a look at the
    render gives."""
    if "signature" in request.args:
        _check_link(path.render_id)
    with db.connection() as conn:
        found = _find(conn, path.org_id, path.render_id)
    if found.file_name is None or found.file_bytes is None:
        raise NotFound("This render has no file.")
    if found.is_expired:
        raise Gone
    name = found.file_name
    return send_file(
        lambda start, stop: storage().read(name, start, stop),
        size=found.file_bytes,
        tag=name.rpartition("/")[2].partition(".")[0],
        content_type=CONTENT_TYPES[found.output],
        filename=f"render-{found.id}.{found.file_extension}",
    )


@api.delete("/<render_id>", responses={204: None})
@requires_role("admin", scope="renders")
def cancel_render(path: RenderPath) -> tuple[str, int]:
    """Cancel a render, or remove the file of one that is done. Workers leave off within a chunk."""
    with db.transaction() as conn:
        if not store.cancel(conn, path.org_id, path.render_id):
            raise NotFound
        record(conn, "render.canceled", org_id=path.org_id, object_id=path.render_id)
    background_sender.submit(RenderFilesUnneeded(str(path.render_id)))
    return "", 204


def _selected(conn: Conn, org_id: UUID, body: RenderBody) -> list[UUID]:
    """The codes in question, in order. Raises Invalid, naming what is wrong with them."""
    if body.qr_ids is None:
        found = store.select_code_ids(conn, org_id, body.tag)
        field = "body.all" if body.tag is None else "body.tag"
        if not found:
            raise Invalid(FieldError(field, "selects no code"))
        if len(found) > MAX_CODES:
            raise Invalid(FieldError(field, f"selects more than {MAX_CODES:,} codes, the most that a render may have"))
        return found
    first = {qr_id: place for place, qr_id in reversed(list(enumerate(body.qr_ids)))}
    twice = [place for place, qr_id in enumerate(body.qr_ids) if first[qr_id] != place]
    if twice:
        raise Invalid(*(FieldError(f"body.qr_ids.{place}", "is given twice") for place in twice[:MAX_ERRORS_LISTED]))
    if unknown := store.find_unknown_indexes(conn, org_id, body.qr_ids, limit=MAX_ERRORS_LISTED):
        raise Invalid(*(FieldError(f"body.qr_ids.{place}", "this organization has no such code") for place in unknown))
    return body.qr_ids


def _find(conn: Conn, org_id: UUID, render_id: UUID) -> Render:
    found = store.find(conn, org_id, render_id)
    if found is None:
        raise NotFound
    return found


def _to_response(render: Render, errors: list[store.FailedCode]) -> dict[str, Any]:
    status_url = f"/api/organizations/{render.org_id}/renders/{render.id}"
    has_file = render.file_name is not None and not render.is_expired
    label = {"template": render.template, "caption": render.caption} if render.template else None
    told = vars(render) | {
        "render_id": render.id,
        "progress": round(render.progress, 4),
        "errors": errors,
        "label": label,
        "status_url": status_url,
        "download_url": f"{status_url}/download?{_link(render)}" if has_file else None,
        "bytes": render.file_bytes,
    }
    return RenderResponse.model_validate(told).model_dump(mode="json")


def _link(render: Render) -> str:
    """The query that opens the download without a token."""
    expires = int((datetime.now(UTC) + LINK_TTL).timestamp())
    signature = signed_links.sign(key_for("download links"), render.id, expires)
    return urlencode({"expires": expires, "signature": signature})


def _check_link(render_id: UUID) -> None:
    key, now = key_for("download links"), datetime.now(UTC)
    if not signed_links.is_valid(key, render_id, request.args.get("expires", ""), request.args["signature"], now):
        raise Forbidden("This link has ended, or is not one of ours.")
