"""Request ids, limits of request bodies, and the access log."""

import codecs
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, g, request

from shared.errors import FieldError, Invalid, TooManyLogins, UnsupportedMediaType
from shared.infra.ids import uuid7
from shared.infra.logging import bind_request_id, get_logger
from web.http.auth import requirement_of
from web.http.schemas import Body, OptionalBody

log = get_logger()

View = TypeVar("View", bound=Callable[..., Any])
MAX_BODY_BYTES = 1024 * 1024
SERIALIZED_ROUTES = "serialized_routes"
"""Key of the application's extensions: the set of (method, path) pairs that hash a password."""
QUEUE_FULL = "waymark.password_queue_full"
"""Set in the environment of a request that found no room in the queue of password hashing."""
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
"""Media types of YAML: that of RFC 9512, and its older spellings."""
SECRET_PATHS = re.compile(r"^(/(?:invitations|screen)/)[^/]+")
"""Paths whose second segment is a secret. The access log does not contain it."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def assign_request_ids(app: Flask) -> None:
    """Give each request its id and its body limit, and each response X-Request-ID, Cache-Control and a log entry.

    A valid X-Request-ID of the client is used, otherwise one is generated.
    """
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.before_request
    def start_request() -> None:
        header = request.headers.get("X-Request-ID", "")
        g.request_id = header if REQUEST_ID.fullmatch(header) else str(uuid7())
        bind_request_id(g.request_id)
        view = current_app.view_functions.get(request.endpoint or "")
        request.max_content_length = getattr(view, "max_body_bytes", MAX_BODY_BYTES)

    @app.after_request
    def finish_request(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        response.headers.setdefault("Cache-Control", "no-store")
        path = SECRET_PATHS.sub(r"\1{token}", request.path)
        log.info("request_finished", method=request.method, path=path, status=response.status_code)
        return response


def max_body_bytes(max_bytes: int) -> Callable[[View], View]:
    """Limit the body of a view's requests, or its form with files, to `max_bytes`. The default is 1 MiB."""

    def decorate(view: View) -> View:
        view.max_body_bytes = max_bytes  # type: ignore[attr-defined]
        return view

    return decorate


def accepts_file(media_types: Sequence[str], max_bytes: int) -> Callable[[View], View]:
    """Mark a view whose request body is a file: UTF-8 text of one of these media types, at most `max_bytes`."""

    def decorate(view: View) -> View:
        view.media_types = media_types  # type: ignore[attr-defined]
        return max_body_bytes(max_bytes)(view)

    return decorate


def accepts_form(view: View) -> View:
    """Mark a view without a `body` parameter that takes a JSON object or a form without files, and parses it itself."""
    view.accepts_form = True  # type: ignore[attr-defined]
    return view


def accepts_yaml(view: View) -> View:
    """Mark a view without a `body` parameter that takes a JSON object or YAML in UTF-8, and parses it itself."""
    view.accepts_yaml = True  # type: ignore[attr-defined]
    return view


def returns_yaml(content: dict[str, Any]) -> Callable[[View], View]:
    """Document that a successful response of a view can be YAML, with this schema and example."""

    def decorate(view: View) -> View:
        view.yaml_content = content  # type: ignore[attr-defined]
        return view

    return decorate


def is_yaml() -> bool:
    """Return whether the body of the request is YAML."""
    return request.mimetype in YAML_TYPES


def serialize_requests(view: View) -> View:
    """Mark a view that hashes a password. The server queues its requests and runs a few of them at a time.

    A request that the queue has no room for gets 503, unless it is rejected for another reason.
    """

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if QUEUE_FULL in request.environ:
            raise TooManyLogins
        return view(*args, **kwargs)

    wrapper.is_serialized = True  # type: ignore[attr-defined]
    return cast("View", wrapper)


def register_serialized_routes(app: Flask) -> None:
    """Publish the methods and paths of the serialized routes to the server. Call it after every route is registered."""
    app.extensions[SERIALIZED_ROUTES] = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "is_serialized", False)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def takes_query(*names: str) -> Callable[[View], View]:
    """Name the query parameters of a view without a `query` parameter, which reads them itself."""

    def decorate(view: View) -> View:
        view.query_names = names  # type: ignore[attr-defined]
        return view

    return decorate


def takes_any_query(view: View) -> View:
    """Mark a page that people open from a link or a printed code: other services add parameters to such URLs."""
    view.query_names = None  # type: ignore[attr-defined]
    return view


def check_query(view: Callable[..., Any] | None) -> None:
    """Raise Invalid for each query parameter that the view does not take, and for each that is given repeatedly."""
    if not request.query_string:
        return
    model = getattr(view, "__annotations__", {}).get("query")
    known = getattr(view, "query_names", () if model is None else tuple(model.model_fields))
    if known is None:
        return
    hint = f"This is not a parameter of this route. It takes {', '.join(known) or 'none'}."
    errors = [FieldError(f"query.{name}", hint) for name in request.args if name not in known]
    repeated = [name for name in known if len(request.args.getlist(name)) > 1]
    errors += [FieldError(f"query.{name}", "Give this parameter once.") for name in repeated]
    if errors:
        raise Invalid(*errors)


def check_request_bodies(app: Flask) -> None:
    """Reject a body of the wrong type, and unknown query parameters: after authentication, before validation."""

    @app.before_request
    def check_request_body() -> None:
        view = current_app.view_functions.get(request.endpoint or "")
        parameters = getattr(view, "__annotations__", {})
        if request.method == "OPTIONS" or view is None:
            return
        # A WebSocket's caller is not authenticated yet. Its query is checked after that.
        if requirement_of(view).kind != "socket":
            check_query(view)
        if issubclass(parameters.get("body", Body), OptionalBody) and not _has_body():
            # Some clients send the content type of JSON with every request. Without a body there is nothing to parse.
            request.environ.pop("CONTENT_TYPE", None)
            parameters = {name: model for name, model in parameters.items() if name != "body"}
        if "form" in parameters and request.mimetype != "multipart/form-data":
            raise UnsupportedMediaType("The body must be multipart/form-data.")
        media_types = getattr(view, "media_types", None)
        if media_types is not None and not (request.mimetype in media_types and _is_utf8()):
            raise UnsupportedMediaType(f"The body must be {media_types[0]}, in UTF-8.")
        takes_form, takes_yaml = getattr(view, "accepts_form", False), getattr(view, "accepts_yaml", False)
        if takes_yaml and is_yaml() and _is_utf8():
            _read_whole_body()
        elif takes_form and request.mimetype == "application/x-www-form-urlencoded":
            request.form  # noqa: B018 - parsed here once, within the limit of the body
        elif takes_form or takes_yaml or "body" in parameters:
            if request.mimetype != "application/json":
                message = "The body must be application/json, or application/yaml in UTF-8." if takes_yaml else None
                raise UnsupportedMediaType(message)
            _read_whole_body()
            if not isinstance(request.get_json(), dict):  # parsed once, and cached for the view
                raise Invalid(FieldError("body", "Use a JSON object."))


def _read_whole_body() -> None:
    """Read the body. Raise RequestEntityTooLarge if it is longer than the limit."""
    request.get_data()
    # Without a length, werkzeug truncates a long body at the limit. Reading beyond it raises an error.
    if request.content_length is None:
        request.stream.read(1)


def _is_utf8() -> bool:
    """Return whether the body claims no other encoding than UTF-8, in any spelling of its name."""
    try:
        return codecs.lookup(request.mimetype_params.get("charset", "utf-8")).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        return False


def _has_body() -> bool:
    """Return whether the request has a body, which may be empty if it is chunked."""
    return bool(request.content_length) or "Transfer-Encoding" in request.headers
