"""JSON responses with a status or headers."""

from typing import Any

from flask import Response, current_app


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    """Return a JSON response. Headers are keyword arguments such as `Retry_After="1"`."""
    response = current_app.response_class(current_app.json.dumps(body) + "\n", status, mimetype="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response
