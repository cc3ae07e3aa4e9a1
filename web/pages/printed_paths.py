"""Printed addresses as links arrive: in another letter case, or with an error that a browser shows to a person."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request

from web.pages.layout import render_page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIXES = ("/s", "/b")
EXPLANATIONS = {
    404: "This code is not in use.",
    429: "Too many requests. Try again in a minute.",
    503: "This service is busy. Try again in a minute.",
}
OTHER_ERROR = "This page could not be shown. Try again later."


def init_app(app: Flask, extra_prefixes: tuple[str, ...]) -> None:
    """Open printed addresses in any letter case of their first part, and answer browsers with pages only."""
    prefixes = PREFIXES + extra_prefixes
    app.wsgi_app = _with_prefix_as_registered(app.wsgi_app, prefixes)  # type: ignore[assignment,method-assign]

    @app.after_request
    def show_error(response: Response) -> Response:
        """Replace a problem by a page, with its status and its headers."""
        if not request.path.startswith(tuple(f"{prefix}/" for prefix in prefixes)) and request.path not in prefixes:
            return response
        if response.mimetype != "application/problem+json":
            return response
        response.headers.add("Vary", "Accept")
        if request.accept_mimetypes.best_match(("application/json", "text/html")) != "text/html":
            return response
        page = render_page(
            "error.html",
            heading=HTTPStatus(response.status_code).phrase.capitalize(),
            explanation=EXPLANATIONS.get(response.status_code, OTHER_ERROR),
            request_id=g.request_id,
        )
        response.set_data(page.get_data())
        response.headers.update(page.headers)
        return response


def _with_prefix_as_registered(app: "WSGIApplication", prefixes: tuple[str, ...]) -> "WSGIApplication":
    """Write the prefix of a printed address in the letter case of its route. The code text stays: its case matters."""

    def run(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix in prefixes:
            if path[: len(prefix) + 1].lower() == f"{prefix}/".lower():
                environ["PATH_INFO"] = prefix + path[len(prefix) :]
                break
        return app(environ, start_response)

    return run
