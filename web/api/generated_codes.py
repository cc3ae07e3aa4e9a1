"""Generated codes over HTTP: an image of any text. Any client that knows the id can read it until it expires."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID, uuid5

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotAcceptable

from shared.errors import Forbidden, Gone, ImageDeadLettered, ImageTooSmall, NotFound, TextTooLong, Unavailable
from shared.generated_codes import store
from shared.generated_codes.rules import (
    EXPIRATION_HOURS,
    MAX_DATA_BYTES,
    GeneratedCode,
    GeneratedCodeStatus,
    GenerateRequest,
)
from shared.generated_codes.store import StoredImage
from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ErrorCorrection, Format
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import run_in_thread
from shared.infra.message_sender import background_sender
from shared.messages import GeneratedCodesPending
from web.api.images import CONTENT_SECURITY_POLICY, IMAGE_RESPONSES, NOT_MODIFIED
from web.http.auth import current_player_id, optional_caller, public, requires_login, requires_login_if
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.responses import json_response
from web.http.schemas import Body, Id, ResponseModel, Timestamp, WholeNumber
from web.http.settings import current_settings

api = APIBlueprint("generated_codes", __name__, abp_tags=[Tag(name="Generated codes")])

ANONYMOUS_NAMESPACE = UUID("c3a5c1f6-8f0e-4b57-9a55-0b6f3f0f8f1d")
"""Namespace of the owners of Idempotency-Keys of anonymous clients: one owner for each address."""
JSON = "application/json"
FORMATS: dict[str, Format] = {"image/png": "png", "image/svg+xml": "svg", "application/pdf": "pdf"}


def _in_largest_symbol(text: str) -> str:
    if (size := len(text.encode())) > MAX_DATA_BYTES:
        raise ValueError(f"Use at most {MAX_DATA_BYTES:,} bytes of UTF-8. This text has {size:,}.")
    return text


Data = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DATA_BYTES), AfterValidator(_in_largest_symbol)]


class GenerateBody(Body):
    """The text of a code, its image, and its expiration."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"data": "https://example.com/menu", "expiration_hours": 48, "size": 400}]}
    )

    data: Data = Field(description="At most 2,953 bytes of UTF-8; less with more error correction")
    expiration_hours: Annotated[int, WholeNumber(*EXPIRATION_HOURS)] | None = Field(
        None, description="Without it, or with 0, the code never expires"
    )
    format: Format = "png"
    size: Annotated[int, WholeNumber(MIN_SIZE, MAX_SIZE)] = Field(300, description="In pixels")
    error_correction: ErrorCorrection = "M"


class GeneratedPath(BaseModel):
    qr_id: Id


class GeneratedResponse(ResponseModel):
    """A generated code, and where its image is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "qr_id": "0197a6b0-0000-7000-8000-000000000004",
                    "expires_at": "2026-02-14T10:00:00Z",
                    "status": "pending",
                    "image_url": "/retrieve/0197a6b0-0000-7000-8000-000000000004/image",
                }
            ]
        }
    )

    qr_id: Id
    expires_at: Timestamp | None
    status: GeneratedCodeStatus
    image_url: str


class RetrievedResponse(ResponseModel):
    """A generated code. The status `failed` means that its image could not be rendered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "qr_id": "0197a6b0-0000-7000-8000-000000000004",
                    "status": "ready",
                    "qr_code": "/retrieve/0197a6b0-0000-7000-8000-000000000004/image",
                    "expires_at": "2026-02-14T10:00:00Z",
                }
            ]
        }
    )

    qr_id: Id
    status: GeneratedCodeStatus
    qr_code: str
    expires_at: Timestamp | None


@api.post("/generate", responses={201: GeneratedResponse, 409: None})
@requires_login_if("generate_requires_auth")
@documents_idempotency_key
def create_generated_code(body: GenerateBody) -> Response:
    """Create a code of any text

    Needs a login, unless the operator sets `GENERATE_REQUIRES_AUTH=false`. A worker renders the image shortly. A
    request for the image does not wait for the worker. A retry with the same `Idempotency-Key` returns the first code.
    409 if the player has as many codes, or as many bytes of images, as a quota allows.
    """
    return create(body)


def create(body: GenerateBody) -> Response:
    """Create a code, or return the response stored under the request's Idempotency-Key."""
    params = GenerateRequest(data=body.data, format=body.format, size=body.size, error_correction=body.error_correction)
    ttl = timedelta(hours=body.expiration_hours) if body.expiration_hours else None
    caller = optional_caller()

    def add() -> Response:
        _check_fits(params)
        with transaction() as conn:
            if caller:
                limits = current_settings()
                store.check_quota(
                    conn,
                    caller.id,
                    limit=limits.max_generated_codes_per_player,
                    limit_mb=limits.max_generated_mb_per_player,
                )
            code = store.add(conn, caller.player_id if caller else None, params, ttl=ttl)
        response = GeneratedResponse(
            qr_id=code.id, expires_at=code.expires_at, status=code.status, image_url=_image_url(code.id)
        )
        return json_response(response.model_dump(mode="json"), 201, Location=f"/retrieve/{code.id}")

    owner_id = caller.id if caller else uuid5(ANONYMOUS_NAMESPACE, request.remote_addr or "")
    response = run_once(owner_id, add)
    background_sender.submit(GeneratedCodesPending())
    return response


@api.get(
    "/retrieve/<qr_id>",
    responses={
        200: {
            "description": "The code, or its image if the Accept header prefers an image type",
            "content": IMAGE_RESPONSES["content"]
            | {JSON: {"schema": RetrievedResponse.model_json_schema(mode="serialization")}},
        },
        304: NOT_MODIFIED,
        406: None,
        409: None,
        410: None,
    },
)
@public
def get_generated_code(path: GeneratedPath) -> Response:
    """Get a generated code or its image

    Public: the id is the secret. The response is JSON, or an image in the type that `Accept` prefers. An expired code
    gets 410.
    """
    return retrieve(path.qr_id, (JSON,))


def retrieve(qr_id: UUID, first: tuple[str, ...] = ()) -> Response:
    """Return a code or its image. Of equally preferred types `first` comes first, else the code's own format."""
    with db.connection() as conn:
        code = _find(conn, qr_id)
    as_format = FORMATS.get(preferred_type(request.accept_mimetypes, code.format, first))
    if as_format is not None:
        response = _image_response(code, as_format)
    else:
        response = json_response(
            RetrievedResponse(
                qr_id=code.id, status=code.status, qr_code=_image_url(code.id), expires_at=code.expires_at
            ).model_dump(mode="json")
        )
    response.vary.add("Accept")
    return response


@api.get(
    "/retrieve/<qr_id>/image",
    responses={200: IMAGE_RESPONSES, 304: NOT_MODIFIED, 409: None, 410: None},
)
@public
def get_generated_image(path: GeneratedPath) -> Response:
    """Get the image of a generated code

    Public: the id is the secret. The image has the requested format. If no worker has rendered it yet, this request
    does.
    """
    with db.connection() as conn:
        code = _find(conn, path.qr_id)
    return _image_response(code, code.format)


@api.delete("/retrieve/<qr_id>", responses={204: None, 403: None, 410: None})
@requires_login
def delete_generated_code(path: GeneratedPath) -> tuple[str, int]:
    """Delete a generated code

    Only for the player who created it. Its images are deleted with it.
    """
    with db.transaction() as conn:
        code = _find(conn, path.qr_id)
        if code.created_by != current_player_id():
            raise Forbidden
        store.delete(conn, code.id)
    return "", 204


def preferred_type(accept: MIMEAccept, own: Format, first: tuple[str, ...] = (JSON,)) -> str:
    """Return the type that the client prefers (RFC 9110, section 12.5.1).

    Of equally preferred types, `first` comes first, then the image types with the code's own format before the others.
    A client that accepts none of the types gets the first one, as the RFC allows.
    """
    image_types = sorted(FORMATS, key=lambda content_type: FORMATS[content_type] != own)
    types = list(dict.fromkeys((*first, *image_types, JSON)))
    best = max(types, key=accept.quality)
    return best if accept.quality(best) > 0 else types[0]


def _find(conn: Conn, qr_id: UUID) -> GeneratedCode:
    """Return the code. Raise Gone if it has expired, also after cleanup, and NotFound if it never existed."""
    code = store.find(conn, qr_id)
    if code is None:
        raise Gone if store.has_tombstone(conn, qr_id) else NotFound
    if code.is_expired:
        raise Gone
    return code


def _image_response(code: GeneratedCode, as_format: Format) -> Response:
    with db.connection() as conn:
        image = store.get_image(conn, code.id, as_format)
    if image is None:
        image = _render(code, as_format)
    response = Response(image.data, content_type=code.image_spec(as_format).content_type)
    response.set_etag(image.digest)
    # Clients revalidate each time, because the code may have expired. A 304 has no body.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = f'inline; filename="{code.id}.{as_format}"'
    # Pages of any origin may show the image.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if as_format == "svg":
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.make_conditional(request)
    return response


def _render(code: GeneratedCode, as_format: Format) -> StoredImage:
    """Render and store an image that does not exist yet. Return the stored one: the first that was stored stays."""
    if code.status == "failed":
        raise ImageDeadLettered
    if code.has_failed_attempt:
        raise Unavailable("A worker is rendering this image again. Retry shortly.")

    def render() -> StoredImage:
        from shared.generated_codes import image_rendering  # noqa: PLC0415 - loads the renderer on first use

        return image_rendering.render(code, as_format)

    try:
        rendered = run_in_thread(render)
    except ImageTooSmall as error:
        # The code was requested as SVG in this size, and this client prefers a PNG.
        raise NotAcceptable(f"A PNG of this code needs {error.smallest} pixels; it has {code.size}.") from None
    with db.transaction() as conn:
        store.store_image(conn, code.id, as_format, rendered)
        stored = store.get_image(conn, code.id, as_format)
    # The code was deleted meanwhile.
    if stored is None:
        raise NotFound
    return stored


def _check_fits(params: GenerateRequest) -> None:
    """Raise TextTooLong or ImageTooSmall, with the field of the body."""

    def check_fits() -> None:
        from shared.generated_codes import image_rendering  # noqa: PLC0415 - loads the renderer on first use

        image_rendering.check_fits(params)

    try:
        run_in_thread(check_fits)
    except TextTooLong as error:
        raise TextTooLong(error.limit, error.level, "body.data") from None
    except ImageTooSmall as error:
        raise ImageTooSmall(error.smallest, "body.size") from None


def _image_url(code_id: UUID) -> str:
    return f"/retrieve/{code_id}/image"
