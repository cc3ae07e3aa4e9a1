"""The file of a bulk render over HTTP, also by a signed link."""

from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.errors import Forbidden, Gone, NotFound, OrganizationClosed
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.keys import key_for
from shared.infra.storage.factory import storage
from shared.organizations import store as organizations
from shared.renders import signed_links, store
from shared.renders.rules import LINK_TTL, Output, Render
from web.api.render_schemas import RenderPath
from web.http.auth import allow_signed_link, requires_role
from web.http.file_responses import openapi_responses, send_file
from web.http.schemas import Query
from web.http.settings import current_settings

api = APIBlueprint(
    "render_downloads", __name__, url_prefix="/api/organizations/<org_id>/renders", abp_tags=[Tag(name="Renders")]
)

CONTENT_TYPES: dict[Output, str] = {"zip": "application/zip", "label_sheet": "application/pdf"}


class DownloadQuery(Query):
    expires: str | None = Field(None, description="Of a signed link: when it expires, in seconds since 1970")
    signature: str | None = Field(None, description="Of a signed link")


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
        render = find_render(conn, path.org_id, path.render_id)
        if organizations.is_closed(conn, path.org_id):
            raise OrganizationClosed
    if render.file_name is None or render.file_bytes is None:
        raise NotFound("This render has no file.")
    if render.is_expired:
        raise Gone
    name = render.file_name
    return send_file(
        lambda start, stop: storage().read(name, start, stop),
        name=name,
        size=render.file_bytes,
        tag=name.rpartition("/")[2].partition(".")[0],
        content_type=CONTENT_TYPES[render.output],
        filename=f"render-{render.id}.{render.file_extension}",
    )


def find_render(conn: Conn, org_id: UUID, render_id: UUID) -> Render:
    """Return a render of an organization. Raise NotFound."""
    render = store.find(conn, org_id, render_id)
    if render is None:
        raise NotFound
    return render


def download_url(render: Render) -> str:
    """Return the path that allows the download without a token, for LINK_TTL from now."""
    expires = int((datetime.now(UTC) + LINK_TTL).timestamp())
    signature = signed_links.sign(key_for("download links", current_settings()), render.id, expires)
    query = urlencode({"expires": expires, "signature": signature})
    return f"/api/organizations/{render.org_id}/renders/{render.id}/download?{query}"


def _check_link(render_id: UUID, expires: str, signature: str) -> None:
    key, now = key_for("download links", current_settings()), datetime.now(UTC)
    if not signed_links.is_valid(key, render_id, expires, signature, now):
        raise Forbidden("This link has expired, or its signature is not valid.")
