"""Generated codes over HTTP: any text made into a picture, read by whoever knows its id, until its time is over."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID, uuid5

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
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
from shared.infra.message_sender import background_sender
from shared.messages import GeneratedCodesPending
from web.api.images import IMAGE_RESPONSES, NOT_MODIFIED, POLICY
from web.http.auth import current_player_id, optional_caller, public, requires_login, requires_login_if
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.responses import json_response
from web.http.schemas import Body, Id, Integer, ResponseModel, Timestamp

api = APIBlueprint("generated_codes", __name__, abp_tags=[Tag(name="Generated codes")])

ANONYMOUS_NAMESPACE = UUID("c3a5c1f6-8f0e-4b57-9a55-0b6f3f0f8f1d")
"""Namespace of the owners of Idempotency-Keys where nobody has to sign in: one owner per address."""
JSON = "application/json"
FORMATS: dict[str, Format] = {"image/png": "png", "image/svg+xml": "svg", "application/pdf": "pdf"}


def _in_largest_symbol(text: str) -> str:
    if (n := len(text.encode())) > MAX_DATA_BYTES:
        raise ValueError(f"is {n:,} bytes of UTF-8; the largest symbol holds {MAX_DATA_BYTES:,}")
    return text


Data = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DATA_BYTES), AfterValidator(_in_largest_symbol)]


class GenerateBody(Body):
    """What the code says, how it looks, and for how long. `size` in pixels; without expiration_hours it never ends."""

    data: Data = Field(description="At most 2,953 bytes of UTF-8, and no more than the level of error correction holds")
    expiration_hours: Annotated[Integer, Field(ge=EXPIRATION_HOURS[0], le=EXPIRATION_HOURS[1])] | None = None
    format: Format = "png"
    size: Annotated[Integer, Field(ge=MIN_SIZE, le=MAX_SIZE)] = 300
    error_correction: ErrorCorrection = "M"


class GeneratedPath(BaseModel):
    qr_id: Id


class GeneratedResponse(ResponseModel):
    qr_id: Id
    expires_at: Timestamp | None
    status: GeneratedCodeStatus
    image_url: str


class RetrievedResponse(ResponseModel):
    """`failed` is a code that was set aside: its picture could not be made."""

    qr_id: Id
    status: GeneratedCodeStatus
    qr_code: str
    expires_at: Timestamp | None


@api.post("/generate", responses={201: GeneratedResponse})
@requires_login_if("generate_requires_auth")
@documents_idempotency_key
def create_generated_code(body: GenerateBody) -> Response:
    """Ask for a code of any text. It is there at once; a worker draws it, unless somebody looks at it first."""
    asked = GenerateRequest(data=body.data, format=body.format, size=body.size, error_correction=body.error_correction)
    lasts = None if body.expiration_hours is None else timedelta(hours=body.expiration_hours)
    maker = optional_caller()

    def add() -> Response:
        _check(asked)
        with transaction() as conn:
            made = store.add(conn, maker.player_id if maker else None, asked, ttl=lasts)
        told = GeneratedResponse(
            qr_id=made.id, expires_at=made.expires_at, status=made.status, image_url=_image_url(made.id)
        )
        return json_response(told.model_dump(mode="json"), 201, Location=f"/retrieve/{made.id}")

    response = run_once(maker.id if maker else uuid5(ANONYMOUS_NAMESPACE, request.remote_addr or ""), add)
    background_sender.submit(GeneratedCodesPending())
    return response


@api.get(
    "/retrieve/<qr_id>",
    responses={
        200: {
            "description": "What is known of it, or where Accept prefers a picture, that",
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
    """A generated code, or its picture where `Accept` prefers that. Knowing the id is enough."""
    with db.connection() as conn:
        found = _find(conn, path.qr_id)
    as_format = FORMATS.get(preferred_type(request.accept_mimetypes, found.format))
    if as_format is not None:
        response = _image(found, as_format)
    else:
        response = json_response(
            RetrievedResponse(
                qr_id=found.id, status=found.status, qr_code=_image_url(found.id), expires_at=found.expires_at
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
    """The picture, in the format that was asked for; drawn on the spot if no worker has come to it yet."""
    with db.connection() as conn:
        found = _find(conn, path.qr_id)
    return _image(found, found.format)


@api.delete("/retrieve/<qr_id>", responses={204: None, 403: None, 410: None})
@requires_login
def delete_generated_code(path: GeneratedPath) -> tuple[str, int]:
    """Remove a generated code with its pictures. Its maker may."""
    with db.transaction() as conn:
        found = _find(conn, path.qr_id)
        if found.created_by != current_player_id():
            raise Forbidden
        store.delete(conn, found.id)
    return "", 204


def preferred_type(accept: MIMEAccept, own: Format) -> str:
    """The type that the client likes best (RFC 9110, 12.5.1): of equals JSON, then the code's own format.

    A client that takes none of what there is gets JSON all the same, as the RFC allows.
    """
    pictures = sorted(FORMATS, key=lambda kind: FORMATS[kind] != own)
    best = max((JSON, *pictures), key=accept.quality)
    return best if accept.quality(best) > 0 else JSON


def _find(conn: Conn, qr_id: UUID) -> GeneratedCode:
    """Raises Gone from the instant of its expiry, also after cleanup; NotFound where there never was such a code."""
    found = store.find(conn, qr_id)
    if found is None:
        raise Gone if store.has_tombstone(conn, qr_id) else NotFound
    if found.is_expired:
        raise Gone
    return found


def _image(found: GeneratedCode, as_format: Format) -> Response:
    with db.connection() as conn:
        image = store.get_image(conn, found.id, as_format)
    if image is None:
        image = _draw(found, as_format)
    response = Response(image.data, content_type=found.image_spec(as_format).content_type)
    response.set_etag(image.digest)
    # To be asked for again each time: it may be gone by then. A 304 costs the client nothing but the question.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = f'inline; filename="{found.id}.{as_format}"'
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # who knows the id may show it
    if as_format == "svg":
        response.headers["Content-Security-Policy"] = POLICY
    response.make_conditional(request)
    return response


def _draw(found: GeneratedCode, as_format: Format) -> StoredImage:
    """Draw and store a picture that is not there yet. What is answered is what is stored, whoever was first."""
    if found.status == "failed":
        raise ImageDeadLettered
    if found.has_failed_attempt:
        raise Unavailable("A worker is trying this picture once more; ask again shortly.")
    from shared.generated_codes import image_rendering  # noqa: PLC0415 - loads the renderer

    try:
        drawn = image_rendering.render(found, as_format)
    except ImageTooSmall as error:  # an SVG was asked for at this size, and a PNG is preferred now
        raise NotAcceptable(f"As a PNG this code needs {error.smallest} pixels, and was asked for at fewer.") from None
    with db.transaction() as conn:
        store.store_image(conn, found.id, as_format, drawn)
        kept = store.get_image(conn, found.id, as_format)
    if kept is None:  # deleted meanwhile
        raise NotFound
    return kept


def _check(asked: GenerateRequest) -> None:
    """Raises TextTooLong or PictureTooSmall, naming the field of the body."""
    from shared.generated_codes import image_rendering  # noqa: PLC0415 - loads the renderer

    try:
        image_rendering.check_fits(asked)
    except TextTooLong as error:
        raise TextTooLong(error.limit, error.level, "body.data") from None
    except ImageTooSmall as error:
        raise ImageTooSmall(error.smallest, "body.size") from None


def _image_url(code_id: UUID) -> str:
    return f"/retrieve/{code_id}/image"
