"""What an organization's own code opens: its site, or a page in its place."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Response, make_response, redirect, render_template
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel
from werkzeug.wrappers import Response as Redirect

from shared.infra import db
from shared.organizations import store
from web.http.auth import public

api = APIBlueprint("organization_pages", __name__, url_prefix="/b", abp_tags=[Tag(name="Pages")])

STYLE = (Path(__file__).parent / "static" / "page.css").read_text()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML_RESPONSE: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}


class SlugPath(BaseModel):
    slug: str


@api.get(
    "/<slug>",
    responses={
        200: HTML_RESPONSE | {"description": "A page with the organization's name, which has no url"},
        302: {"description": "To the organization's url"},
        404: HTML_RESPONSE | {"description": "A page that says so"},
    },
)
@public
def open_organization(path: SlugPath) -> Response | Redirect:
    """Where an organization's own code leads: to its url, or to a page with its name."""
    with db.connection() as conn:
        found = store.get_public(conn, path.slug) if "\x00" not in path.slug else None
    if found is None:
        return render_page("not_found.html", 404)
    if found.url is not None:
        return redirect(found.url)
    return render_page("organization.html", name=found.name)


def render_page(template: str, status: int = 200, **told: str) -> Response:
    """A page that loads nothing and runs nothing."""
    response = make_response(render_template(template, style=STYLE, **told), status)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
