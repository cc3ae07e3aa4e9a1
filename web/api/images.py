"""Images over HTTP: of an organization's codes, and of its business code."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BeforeValidator, Field

from shared.errors import (
    CodeRotates,
    FieldError,
    ImageTooSmall,
    Invalid,
    LogoChanged,
    NotFound,
    TextTooLong,
    UnreadableImage,
)
from shared.images import organization_designs, store
from shared.images.code_url import code_url
from shared.images.image_spec import (
    DEFAULT_DPI,
    MAX_DPI,
    MAX_SIZE,
    MIN_DPI,
    MIN_SIZE,
    ErrorCorrection,
    Format,
    ImageSpec,
)
from shared.images.store import CodeAppearance
from shared.infra import db
from shared.infra.cache import ShortLived, images
from shared.infra.event_loop import run_in_thread
from shared.organizations import store as organizations
from web.http.auth import requires_role
from web.http.compression import compress
from web.http.schemas import CodePath, OrganizationPath, Query
from web.http.settings import current_settings

api = APIBlueprint("images", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Images")])

CACHE_CONTROL = "private, max-age=86400"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
)
"""Sent with an SVG, so that a browser that opens it as a page runs no script and loads nothing."""


def _only_digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError(f"Use a whole number of pixels from {MIN_SIZE} to {MAX_SIZE:,}.")
    return value


# The limits come before the function: its JSON schema leaves out limits that follow it.
Size = Annotated[
    int, Field(ge=MIN_SIZE, le=MAX_SIZE, description="Pixels, width and height"), BeforeValidator(_only_digits)
]
Resolution = Annotated[
    int | None,
    Field(ge=MIN_DPI, le=MAX_DPI, description=f"Pixels per inch that a PNG states; {DEFAULT_DPI} by default"),
]


class ImageQuery(Query):
    """Options of a code's image."""

    format: Format = "png"
    size: Size = 300
    error_correction: ErrorCorrection = Field("M", description="Always H if the code has a logo")
    dpi: Resolution = None


class BusinessImageQuery(Query):
    """Options of the image of an organization's business code."""

    format: Format = "png"
    size: Size = 500
    error_correction: ErrorCorrection = "Q"
    dpi: Resolution = None


IMAGE_RESPONSES: dict[str, Any] = {
    "description": "The image",
    "headers": {
        "ETag": {
            "schema": {"type": "string"},
            "description": "A strong digest of everything that determines the image",
        },
        "Cache-Control": {"schema": {"type": "string"}},
        "Content-Disposition": {"schema": {"type": "string"}},
    },
    "content": {
        content_type: {"schema": {"type": "string", "format": "binary"}}
        for content_type in ("image/png", "image/svg+xml", "application/pdf")
    },
}
CURRENT_IMAGE = {**IMAGE_RESPONSES, "headers": {"Cache-Control": {"schema": {"type": "string"}}}}
NOT_MODIFIED = {"description": "If-None-Match names the current image. Nothing was rendered."}


@api.get("/qr-codes/<qr_id>/image", responses={200: IMAGE_RESPONSES, 304: NOT_MODIFIED})
@requires_role("member", scope="codes:read")
def get_code_image(path: CodePath, query: ImageQuery) -> Response:
    """Get the image of a code

    Needs the role member. The symbol encodes PUBLIC_URL/s/{code} and has the customized appearance. A customized image
    is decoded before it is served. The ETag is known without rendering, so a request with a current If-None-Match gets
    304 at little cost. 422 for a rotating code, which is only shown on screens.
    """
    with db.connection() as conn:
        appearance = store.find_appearance(conn, path.org_id, path.qr_id)
    if appearance is None:
        raise NotFound
    if appearance.rotating:
        raise CodeRotates("path.qr_id")
    spec = appearance.customization.image_spec(
        code_url(appearance.code), query.format, query.size, query.error_correction
    )
    spec = _with_resolution(spec, query.dpi)
    return _image_response(spec, f"qr-{appearance.code}", path.org_id, lambda: _get_logo(path.qr_id, spec))


@api.get("/qr-business/image", responses={200: IMAGE_RESPONSES, 304: NOT_MODIFIED})
@requires_role("member", scope="codes:read")
def get_business_image(path: OrganizationPath, query: BusinessImageQuery) -> Response:
    """Get the image of an organization's business code

    Needs the role member. The symbol encodes PUBLIC_URL/b/{slug}, the public page of the organization, and has its
    design.
    """
    with db.connection() as conn:
        slug = organizations.get_slug(conn, path.org_id)
        design = organization_designs.find(conn, path.org_id)
    spec = design.image_spec(
        f"{current_settings().public_base_url}/b/{slug}", query.format, query.size, query.error_correction
    )
    spec = _with_resolution(spec, query.dpi)
    return _image_response(spec, f"qr-business-{slug}", path.org_id, lambda: _get_design_logo(path.org_id, spec))


def current_step_response(
    appearance: CodeAppearance, url: str, qr_id: UUID, org_id: UUID, query: ImageQuery
) -> Response:
    """Return the image of the current step of a rotating code, with `url`. No client stores it."""
    spec = appearance.customization.image_spec(url, query.format, query.size, query.error_correction)
    spec = _with_resolution(spec, query.dpi)
    # Stored for a few seconds, because many screens may show one code.
    data = images.get_or_create(spec.digest(), lambda: ShortLived(_render(spec, _get_logo(qr_id, spec))), org_id)
    headers = {"Cache-Control": "no-store", "Content-Disposition": "inline"}
    if spec.format == "svg":
        headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return Response(data, headers=headers, content_type=spec.content_type)


def _with_resolution(spec: ImageSpec, dpi: int | None) -> ImageSpec:
    if dpi is None:
        return spec
    if spec.format != "png":
        raise Invalid(FieldError("query.dpi", "Use dpi with a PNG only. An SVG or a PDF has no pixels."))
    return replace(spec, dpi=dpi)


def _get_logo(qr_id: UUID, spec: ImageSpec) -> bytes | None:
    if spec.logo is None:
        return None
    with db.connection() as conn:
        logo = store.get_logo(conn, qr_id, spec.logo)
    if logo is None:
        raise LogoChanged
    return logo


def _get_design_logo(org_id: UUID, spec: ImageSpec) -> bytes | None:
    if spec.logo is None:
        return None
    with db.connection() as conn:
        logo = organization_designs.get_logo(conn, org_id, spec.logo)
    if logo is None:
        raise LogoChanged
    return logo


def _image_response(spec: ImageSpec, name: str, org_id: UUID, get_logo: Callable[[], bytes | None]) -> Response:
    """Return the image, from the cache if possible, or 304 if the client has it.

    `name` is the suggested file name, without extension.
    """
    digest = spec.digest()
    # An SVG is compressed for clients that take that, and other bytes need another tag (RFC 9110, 8.8.3.3).
    is_compressed = spec.format == "svg" and bool(request.accept_encodings["gzip"])
    tag = f"{digest}-gzip" if is_compressed else digest
    headers = {
        "ETag": f'"{tag}"',
        "Cache-Control": CACHE_CONTROL,
        "Content-Disposition": f'inline; filename="{name}.{spec.format}"',
    }
    if spec.format == "svg":
        headers["Vary"] = "Accept-Encoding"
    if request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    data = images.get_or_create(digest, lambda: _render(spec, get_logo()), org_id)
    response = Response(data, headers=headers, content_type=spec.content_type)
    if spec.format == "svg":
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        compress(response)
    return response


def _render(spec: ImageSpec, logo: bytes | None) -> bytes:
    def render() -> bytes:
        from shared.images.verification import render_verified  # noqa: PLC0415 - loads the renderer on first use

        return render_verified(spec, logo)

    try:
        return run_in_thread(render)
    except ImageTooSmall as error:
        raise ImageTooSmall(error.smallest, "query.size") from None
    except TextTooLong as error:
        raise TextTooLong(error.limit, error.level, "query.error_correction") from None
    except UnreadableImage:
        raise Invalid(FieldError("query.size", "Use a larger size. The image cannot be decoded at this one.")) from None
