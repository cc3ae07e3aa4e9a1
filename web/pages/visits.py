"""A code that is opened with a phone's camera: redirect to its target, or show a page about it. Visits are counted."""

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from shared.codes.rotation import find_step_mac
from shared.codes.target_urls import leads_to_code
from shared.errors import CodeDeleted
from shared.infra import db
from shared.organizations import members
from shared.organizations.rules import includes_role
from shared.visits import store
from shared.visits.rules import LinkTarget, is_prefetch, resolve
from shared.visits.user_agents import is_crawler
from shared.visits.visit_buffer import RawVisit, visit_buffer
from web.http.auth import optional_caller, page_public
from web.http.request_context import takes_any_query
from web.pages.layout import REVALIDATED, current_account, html_response, render_page
from web.pages.play import configuration
from web.pages.redirects import Redirect

api = APIBlueprint("visits", __name__, url_prefix="/s", abp_tags=[Tag(name="Pages")])


class CodeTextPath(BaseModel):
    """The path of a code's page."""

    code: str = Field(examples=["spy123"])


@api.get(
    "/<code>",
    strict_slashes=False,
    responses={
        200: html_response("A page about a code that is scanned in the game", "Game code"),
        302: {"description": "Redirect to the target_url of a code that only redirects"},
        404: html_response("A page for a code that does not exist or is not open yet", "Not found"),
        410: html_response(
            "A page for a code that has expired, is inactive, deleted or out of stock, or whose image is out of date",
            "Expired",
        ),
    },
)
@page_public
@takes_any_query
def open_code(path: CodeTextPath) -> Response:
    """Open a code

    Printed codes lead here, also by a text that the code had before a rename. Redirects to the `target_url` of a code
    that only redirects, or shows a page. The visit is counted. Visits by bots are counted separately and use no stock.
    A rotating code needs the `t` of the image on the screen now. Without it, the response is 410 and the visit does
    not count.
    """
    try:
        with db.connection() as conn:
            code = store.find_target(conn, path.code)
    except CodeDeleted:
        return render_page("deleted.html", 410)
    resolution = (
        "not_found" if code is None else resolve(code, find_step_mac(request.query_string.decode("ascii", "replace")))
    )
    if code is None or resolution == "not_found":
        return render_page("not_found.html", 404)
    if resolution == "redirect" and leads_to_code(str(code.target_url), (request.host_url,)):
        # Stored before PUBLIC_URL changed, or with another name of this host.
        return render_page("not_found.html", 404)
    if resolution == "not_started":
        return render_page("not_started.html", 404, place_path=_place_path(code))
    if resolution == "out_of_date":
        return render_page("out_of_date.html", 410)
    if resolution == "gone":
        return render_page("gone.html", 410, place_path=_place_path(code))
    # Made before it is counted: an answer that fails uses no stock.
    answer = _game_page(code) if resolution == "page" else Redirect(str(code.target_url))
    return answer if _count(code) else render_page("gone.html", 410)


def _game_page(code: LinkTarget) -> Response:
    """Return the page of a code that is scanned in the game. Opening it changes nothing."""
    with db.connection() as conn:
        page = store.get_page(conn, code.id)
    return render_page(
        "code.html",
        devices="all",
        cache_control=REVALIDATED,
        modules=("player/check-in.js",),
        # Shown with the result, which takes the place of this page.
        tabs=False,
        description=code.description,
        # As it was opened: a rotating code is proved by the rest of its URL.
        qr_code=request.url if code.rotation is not None else code.code,
        page=page,
        place_path=_place_path(code),
        config=configuration(),
    )


def _place_path(code: LinkTarget) -> str | None:
    """Return the path on which a signed-in admin of the code's organization places it. None for other visitors."""
    account, caller = current_account(), optional_caller()
    # Guests are no members, and most players are guests.
    if account is None or account.is_guest or caller is None or caller.player_id is None:
        return None
    with db.connection() as conn:
        membership = members.find_slug_and_role(conn, code.id, caller.player_id)
    if membership is None or not includes_role(membership[1], "admin"):
        return None
    return f"/o/{membership[0]}/place?code={code.code}"


def _count(code: LinkTarget) -> bool:
    """Count the visit, and use one of the code's stock if it is limited. Return False if no stock is left."""
    user_agent = request.headers.get("User-Agent")
    prefetch = is_prefetch(request.method, dict(request.headers))
    uses_stock = code.is_redirect and code.max_scans is not None and not prefetch and not is_crawler(user_agent)
    if uses_stock:
        with db.connection() as conn:
            if not store.use_stock(conn, code.id):
                return False
    visit_buffer.add(RawVisit(code.id, code.now, user_agent, prefetch, uses_stock))
    return True
