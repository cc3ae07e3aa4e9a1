"""What a phone's own camera opens: the target of a code that only redirects, else a page that says what the code is."""

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
        302: {"description": "To the target_url of a code that only redirects"},
        404: HTML_RESPONSE | {"description": "A page that says that there is no such code, or not yet"},
        410: HTML_RESPONSE | {"description": "A page that says that the code's time is over, or its stock used up"},
    },
)
@public
def open_code(path: CodeTextPath) -> Response | Redirect:
    """Where a printed code leads. Counted: people against max_scans where the code only redirects, bots apart."""
    with db.connection() as conn:
        code = store.printed(conn, path.code)
    leads = "nowhere" if code is None else resolve(code)
    if code is None or leads == "nowhere":
        return render_page("not_found.html", 404)
    if leads == "not_yet":
        return render_page("not_started.html", 404)
    if leads == "gone" or not _count(code):
        return render_page("gone.html", 410)
    if leads == "redirect":
        return redirect(str(code.target_url))
    return render_page("code.html", description=code.description)


def _count(code: LinkTarget) -> bool:
    """Remember the visit, and take it off the stock if there is one; False if somebody else took the last of it."""
    user_agent = request.headers.get("User-Agent")
    ahead = is_prefetch(request.method, dict(request.headers))
    took = code.is_redirect and code.max_scans is not None and not ahead and not is_crawler(user_agent)
    if took:
        with db.connection() as conn:
            if not store.use_stock(conn, code.id):
                return False
    visit_buffer.add(RawVisit(code.id, code.now, user_agent, ahead, took))
    return True
