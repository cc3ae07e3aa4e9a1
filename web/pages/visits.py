"""The page of a code URL: a redirect to the target of the code, or a page that describes the code."""

from flask import Response, redirect, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel
from werkzeug.wrappers import Response as Redirect

from shared.infra import db
from shared.visits import store
from shared.visits.rules import LinkTarget, is_prefetch, resolve
from shared.visits.user_agents import is_crawler
from shared.visits.visit_buffer import RawVisit, visit_buffer
from web.http.auth import public
from web.pages.organizations import HTML_RESPONSE, render_page

api = APIBlueprint("visits", __name__, url_prefix="/s", abp_tags=[Tag(name="Pages")])


class CodeTextPath(BaseModel):
    code: str


@api.get(
    "/<code>",
    responses={
        200: HTML_RESPONSE | {"description": "A page about a code that is scanned in the game"},
        302: {"description": "A redirect to the target_url of a code without a scan_type"},
        404: HTML_RESPONSE | {"description": "No such code, or not started yet"},
        410: HTML_RESPONSE | {"description": "The code has expired, is inactive, or has no stock left"},
    },
)
@public
def open_code(path: CodeTextPath) -> Response | Redirect:
    """Open a code URL

    Public. Leads to the target of the code, or shows a page about it. Every request is counted as a visit of a person
    or a bot. Visits of people count against `max_scans` of codes that redirect.
    """
    with db.connection() as conn:
        code = store.find_target(conn, path.code)
    resolution = "not_found" if code is None else resolve(code)
    if code is None or resolution == "not_found":
        return render_page("not_found.html", 404)
    if resolution == "not_started":
        return render_page("not_started.html", 404)
    if resolution == "gone" or not _count(code):
        return render_page("gone.html", 410)
    if resolution == "redirect":
        return redirect(str(code.target_url))
    return render_page("code.html", description=code.description)


def _count(code: LinkTarget) -> bool:
    """Record the visit, and count it against the stock if there is one. Return False if another visit used the last."""
    user_agent = request.headers.get("User-Agent")
    prefetched = is_prefetch(request.method, dict(request.headers))
    uses_stock = code.is_redirect and code.max_scans is not None and not prefetched and not is_crawler(user_agent)
    if uses_stock:
        with db.connection() as conn:
            if not store.use_stock(conn, code.id):
                return False
    visit_buffer.add(RawVisit(code.id, code.now, user_agent, prefetched, uses_stock))
    return True
