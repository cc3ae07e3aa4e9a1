"""Errors of pages: what is problem+json for other clients is a page for a browser."""

from urllib.parse import quote

from flask import Flask, Response, current_app, g, request

from web.http.auth import requirement_of
from web.http.settings import current_settings
from web.pages.layout import go_to, render_page

PROBLEM = "application/problem+json"


def init_app(app: Flask, printed_prefixes: tuple[str, ...]) -> None:
    """Turn problems of pages, and of paths without a route, into pages. Without a session, 401 leads to the sign-in."""
    printed = tuple(f"{prefix}/" for prefix in printed_prefixes)

    @app.after_request
    def show_page(response: Response) -> Response:
        if response.mimetype != PROBLEM or not _is_for_page(printed):
            return response
        response.vary.add("Accept")
        if request.accept_mimetypes.best_match(("application/json", "text/html")) != "text/html":
            return response
        if response.status_code == 401:
            return go_to(f"/sign-in?next={quote(request.full_path.removesuffix('?'), safe='/')}")
        status = 404 if response.status_code == 403 else response.status_code
        if status >= 500:
            # The page of an unavailable store must not ask it who the visitor is.
            g.caller = None
        # No session was looked up for a path without a route.
        is_known = "caller" in g and status < 500
        page = render_page("error.html", status, problem_status=status, request_id=g.request_id, is_known=is_known)
        response.status_code = status
        response.set_data(page.get_data())
        response.headers.update(page.headers)
        return response


def _is_for_page(printed: tuple[str, ...]) -> bool:
    """Return whether a person opened this path: a page, a printed address, or a path without a route."""
    view = current_app.view_functions.get(request.endpoint or "")
    if view is not None:
        return requirement_of(view).is_page
    return current_settings().pages or request.path.startswith(printed) or f"{request.path}/" in printed
