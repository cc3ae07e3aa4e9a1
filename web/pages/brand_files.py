"""The logo and the style sheet of an organization's pages, for anyone."""

from hashlib import sha256
from typing import Any

from flask import Response, request
from flask_openapi import APIBlueprint, Tag

from shared.errors import LogoChanged, NotFound
from shared.images.brand_colors import style_sheet
from shared.infra import db
from shared.organizations import branding
from web.http.auth import public
from web.http.request_context import takes_any_query
from web.pages.organizations import SlugPath

api = APIBlueprint("brand_files", __name__, url_prefix="/b/<slug>", abp_tags=[Tag(name="Pages")])

CACHE_CONTROL = "public, max-age=86400"
NOT_MODIFIED = {"description": "If-None-Match names the current file."}


def _file_of(content_type: str, **media: Any) -> dict[str, Any]:
    return {
        "description": "The file",
        "headers": {name: {"schema": {"type": "string"}} for name in ("ETag", "Cache-Control")},
        "content": {content_type: {"schema": {"type": "string"}, **media}},
    }


@api.get("/logo", responses={200: _file_of("image/png"), 304: NOT_MODIFIED})
@public
@takes_any_query
def get_organization_logo(path: SlugPath) -> Response:
    """Get the logo of an organization

    Public. 404 without a logo, for an old slug, and for an organization that was closed.
    """
    with db.connection() as conn:
        digest = branding.find_logo_digest(conn, path.slug)
    if digest is None:
        raise NotFound("This organization has no logo.")
    headers = {"ETag": f'"{digest}"', "Cache-Control": CACHE_CONTROL}
    if request.if_none_match.contains_weak(digest):
        return Response(status=304, headers=headers)
    with db.connection() as conn:
        logo = branding.get_logo(conn, path.slug, digest)
    if logo is None:
        raise LogoChanged
    return Response(logo, headers=headers, content_type="image/png")


@api.get(
    "/brand.css", responses={200: _file_of("text/css", example=style_sheet("#8F6400", "#F2A900")), 304: NOT_MODIFIED}
)
@public
@takes_any_query
def get_brand_style_sheet(path: SlugPath) -> Response:
    """Get the colors of an organization's pages

    Public. Two custom properties: `--brand` for the theme of the page, and `--on-brand` for text on it. 404 without a
    color, for an old slug, and for an organization that was closed.
    """
    with db.connection() as conn:
        colors = branding.find_page_colors(conn, path.slug)
    if colors is None:
        raise NotFound("This organization has no color.")
    text = style_sheet(*colors)
    digest = sha256(text.encode()).hexdigest()
    headers = {"ETag": f'"{digest}"', "Cache-Control": CACHE_CONTROL}
    if request.if_none_match.contains_weak(digest):
        return Response(status=304, headers=headers)
    return Response(text, headers=headers, content_type="text/css; charset=utf-8")
