"""Render HTML pages: template, style and Content-Security-Policy. A page loads nothing else and runs no script."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Response, make_response, render_template

STYLE = (Path(__file__).parent / "static" / "page.css").read_text()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def html_response(description: str, heading: str) -> dict[str, Any]:
    """Return the OpenAPI response of a page with this heading."""
    example = f"<!doctype html><html lang=en><title>{heading}</title><h1>{heading}</h1></html>"
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}, "example": example}}}


def render_page(template: str, status: int = 200, **values: str) -> Response:
    """Return a page. The style is inline, and the policy allows exactly this style."""
    response = make_response(render_template(template, style=STYLE, **values), status)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
