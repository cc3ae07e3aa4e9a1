"""Pictures over HTTP: of an organization's codes, and of its business code."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BeforeValidator, Field

from shared.errors import FieldError, ImageTooSmall, Invalid, LogoChanged, NotFound, TextTooLong, UnreadableImage
from shared.images import store
from shared.images.code_url import code_url
from shared.images.customizations import DEFAULT_CUSTOMIZATION
from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ErrorCorrection, Format, ImageSpec
from shared.infra import db
from shared.infra.cache import images
from shared.organizations import store as organizations
from shared.settings import settings
from web.http.auth import requires_role
from web.http.schemas import CodePath, OrganizationPath, Query

api = APIBlueprint("images", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Images")])

CACHE_CONTROL = "private, max-age=86400"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""For an SVG that is opened as a page: it draws, and does nothing else."""


def _whole(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError(f"must be a whole number of pixels from {MIN_SIZE} to {MAX_SIZE}")
    return value


Size = Annotated[int, BeforeValidator(_whole), Field(ge=MIN_SIZE, le=MAX_SIZE, description="Pixels, width and height")]


class ImageQuery(Query):
    """What the picture of a code is to be like."""

    format: Format = "png"
    size: Size = 300
    error_correction: ErrorCorrection = Field("M", description="H wherever the code has a logo")


class BusinessImageQuery(Query):
    """What the picture of an organization's own code is to be like."""

    format: Format = "png"
    size: Size = 500
    error_correction: ErrorCorrection = "Q"


IMAGE_RESPONSES: dict[str, Any] = {
    "description": "The picture",
    "headers": {
        "ETag": {"schema": {"type": "string"}, "description": "Strong: a digest of what determines the picture"},
        "Cache-Control": {"schema": {"type": "string"}},
        "Content-Disposition": {"schema": {"type": "string"}},
    },
    "content": {
        content_type: {"schema": {"type": "string", "format": "binary"}}
        for content_type in ("image/png", "image/svg+xml", "application/pdf")
    },
}
NOT_MODIFIED = {"description": "The picture is the one that If-None-Match names. Nothing was rendered."}


@api.get("/qr-codes/<qr_id>/image", responses={200: IMAGE_RESPONSES, 304: NOT_MODIFIED})
@requires_role("member", scope="codes:read")
def get_code_image(path: CodePath, query: ImageQuery) -> Response:
    """The picture of a code, as it is customized: it leads to PUBLIC_URL/s/{code}."""
    with db.connection() as conn:
        printed = store.find_appearance(conn, path.org_id, path.qr_id)
    if printed is None:
        raise NotFound
    picture = printed.customization.image_spec(code_url(printed.code), query.format, query.size, query.error_correction)
    return _image_response(picture, f"qr-{printed.code}", path.org_id, lambda: _logo(path.qr_id, picture))


@api.get("/qr-business/image", responses={200: IMAGE_RESPONSES, 304: NOT_MODIFIED})
@requires_role("member", scope="codes:read")
def get_business_image(path: OrganizationPath, query: BusinessImageQuery) -> Response:
    """The picture of the organization's own code: it leads to PUBLIC_URL/b/{slug}."""
    with db.connection() as conn:
        slug = organizations.get_slug(conn, path.org_id)
    picture = DEFAULT_CUSTOMIZATION.image_spec(
        f"{settings().public_base_url}/b/{slug}", query.format, query.size, query.error_correction
    )
    return _image_response(picture, f"qr-business-{slug}", path.org_id, lambda: None)


def _logo(qr_id: UUID, picture: ImageSpec) -> bytes | None:
    if picture.logo is None:
        return None
    with db.connection() as conn:
        found = store.get_logo(conn, qr_id, picture.logo)
    if found is None:
        raise LogoChanged
    return found


def _image_response(picture: ImageSpec, name: str, org_id: UUID, logo: Callable[[], bytes | None]) -> Response:
    """The picture, unless the client has it. Its digest is known without rendering, and it is rendered only if nobody
    has asked for it lately. `name` is what a browser saves it as, without its ending."""
    digest = picture.digest()
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": CACHE_CONTROL,
        "Content-Disposition": f'inline; filename="{name}.{picture.format}"',
    }
    if request.if_none_match.contains_weak(digest):
        return Response(status=304, headers=headers)
    if picture.format == "svg":
        headers["Content-Security-Policy"] = POLICY
    data = images.get_or_create(digest, lambda: _render(picture, logo()), org_id)
    return Response(data, headers=headers, content_type=picture.content_type)


def _render(picture: ImageSpec, logo: bytes | None) -> bytes:
    from shared.images.verification import render_verified  # noqa: PLC0415 - the renderer is loaded when it is first used

    try:
        return render_verified(picture, logo)
    except ImageTooSmall as refused:
        raise ImageTooSmall(refused.smallest, "query.size") from None
    except TextTooLong as refused:
        raise TextTooLong(refused.limit, refused.level, "query.error_correction") from None
    except UnreadableImage:
        raise Invalid(FieldError("query.size", "cannot be read back at this size; ask for a larger one")) from None
