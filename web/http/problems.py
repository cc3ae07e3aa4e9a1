"""Map every exception to an RFC 9457 problem+json response, once. No response reveals the server's internals."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import psycopg
import psycopg_pool
import redis
from flask import Flask, Response, g, request
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge
from werkzeug.routing.exceptions import WebsocketMismatch

from shared import errors
from shared.errors import FieldError, Invalid
from shared.infra.logging import get_logger
from shared.validation_messages import errors_of
from web.http.responses import json_response

log = get_logger()

STATUS: dict[type[errors.DomainError], HTTPStatus] = {
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Gone: HTTPStatus.GONE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.LimitReached: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

HTTP_MESSAGES = {
    400: "The request is malformed.",
    404: "There is no such path.",
    405: "This path does not support the method. The Allow header lists those that it supports.",
}
"""By status, for errors that the framework raises before or beside a view."""


def problem(status: int, detail: str, field_errors: tuple[FieldError, ...] = (), **extensions: Any) -> Response:
    """Return an application/problem+json response. `extensions` are extra members of the problem (RFC 9457, 3.2)."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": quote(request.path),
        "request_id": g.get("request_id"),
    }
    if field_errors:
        body["errors"] = [{"loc": error.loc, "message": error.message} for error in field_errors]
    response = json_response(body | extensions, status)
    response.content_type = "application/problem+json"
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = _challenge(extensions.get("reason"), detail)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(errors.Unavailable.retry_after)
    return response


def _challenge(reason: str | None, detail: str) -> str:
    """Return the challenge of RFC 6750, section 3. It has no error if the request had no bearer token."""
    if reason in (None, "missing"):
        return "Bearer"
    return f'Bearer error="invalid_token", error_description="{detail}"'


def field_errors_of(error: ValidationError) -> tuple[FieldError, ...]:
    """Return pydantic's errors as field errors. The suffix of the model's name is the part: `Body`, `Query` …"""
    part = _part(error.title)
    return tuple(FieldError(".".join((part, *map(str, loc))), message) for loc, message in errors_of(error))


def _part(title: str) -> str:
    for suffix, part in (("Query", "query"), ("Path", "path"), ("Header", "header"), ("Form", "form")):
        if title.endswith(suffix):
            return part
    return "body"


def _http_message(error: HTTPException) -> str:
    """Return the message of Waymark for an error of the framework. An error that a view raises has its own."""
    if error.description and error.description != type(error).description:
        return error.description
    if isinstance(error, WebsocketMismatch):
        return "WebSocket handshakes, and only those, go to /ws/{player_id} and /ws/organizations/{org_id}."
    return HTTP_MESSAGES.get(error.code or 500, f"{error.name}.")


def on_validation_error(error: ValidationError) -> Response:
    return _invalid(field_errors_of(error))


def _invalid(field_errors: tuple[FieldError, ...], **extensions: Any) -> Response:
    return problem(422, f"{field_errors[0].loc}: {field_errors[0].message}", field_errors, **extensions)


def init_app(app: Flask) -> None:
    """Register the error handlers."""

    @app.errorhandler(errors.DomainError)
    def on_domain_error(error: errors.DomainError) -> Response:
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        if isinstance(error, errors.InvalidRows):
            return problem(status, error.message, error.field_errors, rows=error.rows)
        if isinstance(error, errors.DesignRejected) and error.suggestion is not None:
            return _invalid(error.field_errors, suggestion=error.suggestion)
        if isinstance(error, Invalid) and error.field_errors:
            return _invalid(error.field_errors)
        if isinstance(error, errors.Unauthenticated) and error.reason is not None:
            return problem(status, str(error), reason=error.reason)
        if isinstance(error, errors.ScopeMissing):
            response = problem(status, str(error))
            response.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
            return response
        if isinstance(error, errors.QuotaExceeded):
            quota = {"name": error.setting, "used": error.used, "limit": error.limit}
            return problem(status, str(error), quota=quota)
        if isinstance(error, errors.AlreadyRedeemed):
            return problem(status, str(error), redemption=error.redemption)
        response = problem(status, str(error))
        if isinstance(error, errors.Unavailable | errors.LimitReached):
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    app.register_error_handler(ValidationError, on_validation_error)

    @app.errorhandler(psycopg.OperationalError)
    @app.errorhandler(psycopg_pool.PoolTimeout)
    @app.errorhandler(redis.RedisError)
    def on_store_unavailable(error: Exception) -> Response:
        log.warning("store_unavailable", error=str(error))
        return problem(503, "A store is unavailable. Retry shortly.")

    @app.errorhandler(ParseException)
    def on_malformed_body(_error: Exception) -> Response:
        response = problem(400, "The body is not framed as HTTP/1.1 requires.")
        response.headers["Connection"] = "close"  # the start of the next request is unknown
        return response

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        if isinstance(error, RequestEntityTooLarge):
            limit = request.max_content_length
            return problem(413, f"The body is larger than {limit:,} bytes, the limit of this route.")
        if isinstance(error, ClientDisconnected) and isinstance(error.__context__, TimeoutError):
            return problem(408, "The body did not arrive in time.")
        response = problem(error.code or 500, _http_message(error))
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def on_unhandled_exception(error: Exception) -> Response:
        log.error("unhandled_exception", exc_info=error)
        return problem(500, "Internal error. Report the request_id to the operator of this service.")
