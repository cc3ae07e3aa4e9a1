"""A log-in as OAuth 2.0 clients send it: a form with the grant type `password` (RFC 6749, section 4.3)."""

from collections.abc import Callable
from typing import Any

from flask import Response, request

from shared.errors import Unauthenticated
from shared.infra import strict_json
from web.http.problems import problem

FORM_TYPE = "application/x-www-form-urlencoded"
FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "description": "The form of RFC 6749, section 4.3.2. Other parameters, such as `scope`, are ignored.",
        "required": ["username", "password"],
        "properties": {
            "grant_type": {"type": "string", "enum": ["password"], "description": "May be left out"},
            "username": {"type": "string", "description": "The username of the account"},
            "password": {"type": "string", "description": "The password of the account"},
        },
    },
    "example": {"grant_type": "password", "username": "ada", "password": "correct horse"},
}
"""The form in OpenAPI."""


def is_form() -> bool:
    """Return whether the body of the request is a form."""
    return request.mimetype == FORM_TYPE


def answer(log_in: Callable[[dict[str, str]], dict[str, Any]]) -> dict[str, Any] | Response:
    """Log in with the credentials in the form. An error has the member `error` of RFC 6749, section 5.2.

    Wrong credentials get 401, as for a log-in with JSON. Any other error of the form gets 400.
    """
    form = request.form
    for name in ("grant_type", "username", "password"):
        if len(form.getlist(name)) > 1:
            return _refuse(400, "invalid_request", f"{name} must be given once.")
    if form.get("grant_type", "password") != "password":
        return _refuse(400, "unsupported_grant_type", "The only grant type here is password.")
    username, password = form.get("username"), form.get("password")
    if not username or not password:
        return _refuse(400, "invalid_request", "username and password are required.")
    credentials = {"username": username, "password": password}
    strict_json.check_values(credentials, "form")
    try:
        return log_in(credentials)
    except Unauthenticated as error:
        return _refuse(401, "invalid_grant", str(error))


def _refuse(status: int, error: str, message: str) -> Response:
    return problem(status, message, error=error, error_description=message)
