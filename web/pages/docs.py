"""The API documentation: the OpenAPI document, and Swagger UI without a CDN."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flask import Flask, Response, current_app, send_from_directory

from web.http.auth import public
from web.http.openapi import specification
from web.http.request_context import takes_any_query

if TYPE_CHECKING:
    from flask_openapi import OpenAPI

FOLDER = Path(__file__).parent
DOCUMENT = "openapi_document"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def init_app(app: Flask) -> None:
    """Register the routes of the documentation. They are not part of the document."""
    app.add_url_rule("/openapi.json", "docs_openapi", get_document)
    app.add_url_rule("/docs", "docs", get_page)
    app.add_url_rule("/docs/start.js", "docs_start", get_script)
    app.add_url_rule("/docs/<path:name>", "docs_asset", get_asset)


@public
def get_document() -> Response:
    """Return the OpenAPI document."""
    # Writing half a megabyte as JSON takes six milliseconds, so it is done once.
    if DOCUMENT not in current_app.extensions:
        current_app.extensions[DOCUMENT] = current_app.json.dumps(specification(cast("OpenAPI", current_app))) + "\n"
    response = Response(current_app.extensions[DOCUMENT], mimetype="application/json")
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


@public
@takes_any_query
def get_page() -> Response:
    """Return the page of Swagger UI."""
    response = send_from_directory(FOLDER / "templates", "docs.html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@public
def get_script() -> Response:
    """Return the script that starts Swagger UI. The policy of the page allows no inline script."""
    return send_from_directory(FOLDER / "static", "docs.js")


@public
def get_asset(name: str) -> Response:
    """Return a file of Swagger UI, from its Python package."""
    return send_from_directory(str(files("flask_openapi_swagger") / "templates" / "swagger"), name, max_age=86400)
