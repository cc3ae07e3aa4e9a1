"""Every exception as an answer, once: RFC 9457 problem+json, with a request id and nothing of the server's insides."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import psycopg
import psycopg_pool
import redis
from flask import Flask, Response, g, request
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge, TooManyRequests

from shared import errors
from shared.errors import FieldError, Invalid
from shared.infra.logging import get_logger
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
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


def problem(status: int, detail: str, faults: tuple[FieldError, ...] = (), **more: Any) -> Response:
    """An application/problem+json response. `more` are members that only this problem has (RFC 9457, 3.2)."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": quote(request.path),
        "request_id": g.get("request_id"),
    }
    if faults:
        body["errors"] = [{"loc": fault.loc, "message": fault.message} for fault in faults]
    response = json_response(body | more, status)
    response.content_type = "application/problem+json"
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(errors.Unavailable.retry_after)
    return response


def field_errors_of(error: ValidationError) -> tuple[FieldError, ...]:
    """Pydantic's findings as ours. Models are named after the part of the request they check: `Body`, `Query`."""
    part = _part(error.title)
    return tuple(
        FieldError(".".join((part, *map(str, found["loc"]))), found["msg"].removeprefix("Value error, "))
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _part(title: str) -> str:
    for suffix, part in (("Query", "query"), ("Path", "path"), ("Header", "header"), ("Form", "form")):
        if title.endswith(suffix):
            return part
    return "body"


def on_validation_error(error: ValidationError) -> Response:
    faults = field_errors_of(error)
    return problem(422, f"{faults[0].loc}: {faults[0].message}", faults)


def init_app(app: Flask) -> None:
    """Register the handlers."""

    @app.errorhandler(errors.DomainError)
    def on_domain_error(error: errors.DomainError) -> Response:
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        if isinstance(error, errors.InvalidRows):
            return problem(status, error.message, error.faults, rows=error.rows)
        if isinstance(error, Invalid) and error.faults:
            return problem(status, f"{error.faults[0].loc}: {error.faults[0].message}", error.faults)
        response = problem(status, str(error))
        if isinstance(error, errors.Unavailable):
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    app.register_error_handler(ValidationError, on_validation_error)

    @app.errorhandler(psycopg.OperationalError)
    @app.errorhandler(psycopg_pool.PoolTimeout)
    @app.errorhandler(redis.RedisError)
    def on_store_away(error: Exception) -> Response:
        log.warning("store_unavailable", error=str(error))
        return problem(503, "A store that this needs is not answering; try again shortly.")

    @app.errorhandler(ParseException)
    def on_broken_body(_error: Exception) -> Response:
        response = problem(400, "The body is not framed as HTTP/1.1 asks for.")
        response.headers["Connection"] = "close"  # where the next request begins is anybody's guess
        return response

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        if isinstance(error, TooManyRequests):
            return problem(429, "Too many requests; Retry-After says when to try again.")
        if isinstance(error, RequestEntityTooLarge):
            limit = request.max_content_length
            return problem(413, f"The body is larger than the {limit} bytes allowed here.")
        if isinstance(error, ClientDisconnected) and isinstance(error.__context__, TimeoutError):
            return problem(408, "The body did not come in time.")
        response = problem(error.code or 500, error.description or "")
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def on_defect(error: Exception) -> Response:
        log.error("unhandled_exception", exc_info=error)
        return problem(500, "Something is wrong on our side; the request id helps to find it.")
