"""Cross-origin requests (the Fetch standard, 3.2): only origins on the allow-list can call the API.

This module replaces flask-cors, which treats an origin with brackets as a pattern, ignores case, sends `Vary: Origin`
only for two origins or more, and answers a rejected preflight with 200.
"""

from flask import Flask, Response, request

from web.http.problems import problem
from web.http.rate_limits import HEADERS as RATE_LIMIT_HEADERS
from web.http.settings import current_settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ALLOWED_HEADERS = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Prefer",
    "Range",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Location",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Preference-Applied",
    "WWW-Authenticate",
    "X-Request-ID",
    *RATE_LIMIT_HEADERS,
)
MAX_AGE_SECONDS = 600
_ALLOWED_LOWER = {name.lower() for name in ALLOWED_HEADERS}


def init_app(app: Flask) -> None:
    """Answer preflight requests before authentication, and add CORS headers to every response, errors included.

    Cookies are not used, so credentials are never allowed.
    """

    @app.before_request
    def preflight() -> Response | None:
        method = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or "Origin" not in request.headers or method is None:
            return None
        names = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
        headers = {name.strip() for name in names} - {""}
        if not _is_allowed_origin() or method not in METHODS or not headers <= _ALLOWED_LOWER:
            return problem(403, "This origin, this method or one of these headers is not allowed.")
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = ", ".join(METHODS)
        response.headers["Access-Control-Allow-Headers"] = ", ".join(ALLOWED_HEADERS)
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
        return response

    @app.after_request
    def add_cors_headers(response: Response) -> Response:
        if current_settings().allowed_origins:
            response.vary.add("Origin")
        if _is_allowed_origin():
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
        return response


def _is_allowed_origin() -> bool:
    return request.headers.get("Origin") in current_settings().allowed_origins
