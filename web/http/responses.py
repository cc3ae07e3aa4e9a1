"""Answers that are more than a body with status 200."""

from typing import Any

from flask import Response, current_app


def json_response(told: Any, status: int = 200, **headers: str) -> Response:
    """A JSON response; headers are given as `Retry_After="1"`."""
    made = current_app.response_class(current_app.json.dumps(told) + "\n", status, mimetype="application/json")
    for name, value in headers.items():
        made.headers[name.replace("_", "-")] = value
    return made
