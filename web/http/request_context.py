"""What every request passes besides the gate: its id, the look at its body, and the headers of its answer."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request

from shared.accounts.passwords import check_capacity
from shared.errors import FieldError, Invalid, UnsupportedMediaType
from shared.infra.concurrency import SERIALIZED_ROUTES
from shared.infra.ids import uuid7
from shared.infra.logging import bind_request_id, get_logger
from web.http.schemas import Query

log = get_logger()

View = TypeVar("View", bound=Callable[..., Any])
MAX_BODY_BYTES = 1024 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def assign_request_ids(app: Flask) -> None:
    """Give each request its id, the client's where it is a plain one, and the length that its body may have; and each
    answer its headers."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.before_request
    def name() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else str(uuid7())
        bind_request_id(g.request_id)
        view = current_app.view_functions.get(request.endpoint or "")
        request.max_content_length = getattr(view, "max_body_bytes", MAX_BODY_BYTES)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        response.headers.setdefault("Cache-Control", "no-store")
        log.info("request_finished", method=request.method, path=request.path, status=response.status_code)
        return response


def max_body_bytes(max_bytes: int) -> Callable[[View], View]:
    """The view takes a body or a form of at most so many bytes, files included."""

    def decorate(view: View) -> View:
        view.max_body_bytes = max_bytes  # type: ignore[attr-defined]
        return view

    return decorate


def accepts_file(media_type: str, max_bytes: int) -> Callable[[View], View]:
    """The view takes a file as its body: text in UTF-8 of this type, of at most so many bytes."""

    def decorate(view: View) -> View:
        view.media_type = media_type  # type: ignore[attr-defined]
        return max_body_bytes(max_bytes)(view)

    return decorate


def serialize_requests(view: View) -> View:
    """The view has a password hashed, and crowds may come to have that done: they are let in one after the other, so
    that everybody else hardly notices, and sent away before they cost anything while there is no room for them."""
    view.is_serialized = True  # type: ignore[attr-defined]
    return view


def register_serialized_routes(app: Flask) -> None:
    """Tell the server which routes those are: methods and paths."""
    app.extensions[SERIALIZED_ROUTES] = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "is_serialized", False)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def check_request_bodies(app: Flask) -> None:
    """Refuse, after the gate and before validation, a body that is not what the route takes, and a query parameter that
    is given twice."""

    @app.before_request
    def check() -> None:
        view = current_app.view_functions.get(request.endpoint or "")
        takes = getattr(view, "__annotations__", {})
        if request.method == "OPTIONS":
            return
        if getattr(view, "is_serialized", False):
            check_capacity()
        if "query" in takes and request.query_string:
            _refuse_repeated(takes["query"])
        if "form" in takes and request.mimetype != "multipart/form-data":
            raise UnsupportedMediaType("The body must be multipart/form-data.")
        media_type = getattr(view, "media_type", None)
        charset = request.mimetype_params.get("charset", "utf-8").lower()
        if media_type is not None and (request.mimetype != media_type or charset != "utf-8"):
            raise UnsupportedMediaType(f"The body must be {media_type}, in UTF-8.")
        if "body" in takes:
            if request.mimetype != "application/json":
                raise UnsupportedMediaType
            if request.content_length is None:  # werkzeug cuts such a body off at the limit, instead of refusing it
                request.get_data()
                request.stream.read(1)
            if not isinstance(request.get_json(), dict):  # parsed once, kept for the view
                raise Invalid(FieldError("body", "must be a JSON object"))


def _refuse_repeated(query: type[Query]) -> None:
    for name in query.model_fields:
        if len(request.args.getlist(name)) > 1:
            raise Invalid(FieldError(f"query.{name}", "must be given once"))
