"""Pages of other origins (the Fetch standard, 3.2): those on the allow-list may call the API, all others may not.

Ours rather than flask-cors, which takes an origin with brackets for a pattern, compares without regard to case, tells
caches of `Origin` only where there are two, and answers a preflight it refuses with 200.
"""

from flask import Flask, Response, request

from shared.settings import settings
from web.http.problems import problem
from web.http.rate_limits import HEADERS as LIMITS

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
    "Location",
    "Preference-Applied",
    "WWW-Authenticate",
    "X-Request-ID",
    *LIMITS,
)
MAX_AGE_SECONDS = 600
_KNOWN = {name.lower() for name in ALLOWED_HEADERS}


def init_app(app: Flask) -> None:
    """Answer preflights before anybody is asked for credentials, and tell browsers who may read an answer, whatever it
    is. Cookies are not used, and so never allowed."""

    @app.before_request
    def preflight() -> Response | None:
        wanted = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or "Origin" not in request.headers or wanted is None:
            return None
        asked = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
        if not _may_read() or wanted not in METHODS or not {name.strip() for name in asked} - {""} <= _KNOWN:
            return problem(403, "This origin, this method or one of these headers is not allowed here.")
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = ", ".join(METHODS)
        response.headers["Access-Control-Allow-Headers"] = ", ".join(ALLOWED_HEADERS)
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
        return response

    @app.after_request
    def tell(response: Response) -> Response:
        if settings().allowed_origins:
            response.vary.add("Origin")
        if _may_read():
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
        return response


def _may_read() -> bool:
    return request.headers.get("Origin") in settings().allowed_origins
