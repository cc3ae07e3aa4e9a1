"""What every request passes besides the gate: its id, the look at its body, and the headers of its answer."""

import re

from flask import Flask, Response, current_app, g, request

from shared.errors import Fault, Invalid, UnsupportedMediaType
from shared.ids import uuid7
from shared.logging import bind_request_id, get_logger

log = get_logger()

MAX_BODY_BYTES = 1024 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def name_requests(app: Flask) -> None:
    """Give each request its id, the client's where it is a plain one, and each answer its headers."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.before_request
    def name() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else str(uuid7())
        bind_request_id(g.request_id)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        log.info("answered", method=request.method, path=request.path, status=response.status_code)
        return response


def check_bodies(app: Flask) -> None:
    """Refuse, after the gate and before validation, a body that is not the JSON which the route takes."""

    @app.before_request
    def check() -> None:
        view = current_app.view_functions.get(request.endpoint or "")
        if request.method == "OPTIONS" or "body" not in getattr(view, "__annotations__", {}):
            return
        if request.mimetype != "application/json":
            raise UnsupportedMediaType
        if not isinstance(request.get_json(), dict):  # parsed once, kept for the view
            raise Invalid(Fault("body", "must be a JSON object"))
