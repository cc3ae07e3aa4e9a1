"""OpenAPI 3.1 of the whole service, and a page that shows it without the internet.

Views document what they answer when all is well. What else can happen follows from what they require and take, and is
added here, once for all.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from flask import Flask, Response, send_from_directory
from flask_openapi import OpenAPI
from flask_openapi.models import SecurityScheme
from werkzeug.routing import Rule

from web.http.auth import Requirement, public, requirement_of
from web.http.idempotency import HEADER
from web.http.rate_limits import UNLIMITED_ENDPOINTS
from web.http.responses import json_response

INFO = {
    "title": "Waymark",
    "version": "0.1.0",
    "description": "QR codes that live in the real world: made, printed, scanned, proved, and shown live.",
    "license": {"name": "MIT", "identifier": "MIT"},
}
SECURITY_SCHEMES: dict[str, SecurityScheme | dict[str, Any]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A player's access token, by POST /auth/login",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "wm_<prefix>_<secret>",
        "description": "An organization's API key, where the operation names a scope that it has",
    },
}
PAGES = Path(__file__).parents[1] / "pages"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "message"],
                "properties": {"loc": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "rows": {"type": "array", "items": {"type": "object"}, "description": "Of many codes: what became of each"},
    },
}
STATUS_DESCRIPTIONS = {
    "400": "Malformed HTTP, or no WebSocket handshake where one is needed",
    "401": "No or bad credentials",
    "403": "Known but not allowed",
    "404": "Not there, or not yours to know of",
    "406": "Not to be had in the format that is preferred",
    "409": "In conflict with what is stored",
    "410": "Gone: its time is over",
    "413": "Body too large",
    "415": "Not JSON, or not the form that is taken here",
    "416": "The file has no such range; Content-Range says how long it is",
    "422": "Malformed; `errors` names each field",
    "429": "More than the budget allows; Retry-After says when to try again",
    "503": "A store is down, or this process is full; Retry-After says when to try again",
}
LIMITS = {
    "RateLimit-Limit": "How many requests the budget that will be spent first allows in its window",
    "RateLimit-Remaining": "How many of them are left",
    "RateLimit-Reset": "Seconds until its window ends",
}
RETRY_AFTER = {"description": "Seconds", "schema": {"type": "integer"}}
WEBSOCKETS = {
    "/ws/{player_id}": "A player's own events",
    "/ws/organizations/{org_id}": "Events of an organization's codes, for its staff (analyst and above)",
}


def init_app(app: OpenAPI) -> None:
    app.openapi_version = "3.1.0"

    @public
    def openapi_json() -> Response:
        return json_response(specification(app), Cache_Control="public, max-age=300")

    @public
    def docs() -> Response:
        response = send_from_directory(PAGES / "templates", "docs.html")
        response.headers["Content-Security-Policy"] = POLICY
        return response

    @public
    def docs_start() -> Response:
        return send_from_directory(PAGES / "static", "docs.js")

    @public
    def docs_asset(name: str) -> Response:
        """Swagger UI's own files, from its package."""
        return send_from_directory(str(files("flask_openapi_swagger") / "templates" / "swagger"), name, max_age=86400)

    for rule, view in (
        ("/openapi.json", openapi_json),
        ("/docs", docs),
        ("/docs/start.js", docs_start),
        ("/docs/<path:name>", docs_asset),
    ):
        app.add_url_rule(rule, view_func=view)


def specification(app: OpenAPI) -> dict[str, Any]:
    """The OpenAPI document: what the framework knows of the views, and what we know of all of them."""
    if "specification" not in app.extensions:
        spec = app.api_doc
        spec["components"]["schemas"]["Problem"] = PROBLEM
        spec["components"]["schemas"].pop("ValidationErrorModel", None)
        spec["components"]["headers"] = {
            name: {"description": f"{told}; absent where limits are off", "schema": {"type": "integer"}}
            for name, told in LIMITS.items()
        }
        for rule, operation in _operations(app, spec):
            _add_common_responses(rule, operation, app.view_functions[rule.endpoint])
        for path, summary in WEBSOCKETS.items():
            spec["paths"][path] = {"get": _socket(path, summary)}
        app.extensions["specification"] = spec
    return cast("dict[str, Any]", app.extensions["specification"])


def _operations(app: Flask, spec: dict[str, Any]) -> Iterator[tuple[Rule, dict[str, Any]]]:
    for rule in app.url_map.iter_rules():
        path = "".join(f"{{{part}}}" if is_dynamic else part for is_dynamic, part in rule._trace).removeprefix("|")
        for method, operation in spec["paths"].get(path, {}).items():
            if method.upper() in (rule.methods or ()):
                yield rule, operation


def _add_common_responses(rule: Rule, operation: dict[str, Any], view: Any) -> None:
    """Add what can go wrong, the credentials needed, and the headers taken."""
    needed = requirement_of(view)
    statuses = {status for status in operation["responses"] if status >= "400" and status != "422"}
    statuses |= {"503"} | _error_statuses(needed, rule)
    is_limited = rule.endpoint not in UNLIMITED_ENDPOINTS
    if is_limited:
        statuses.add("429")
    if "requestBody" in operation:
        statuses |= {"413", "415", "422"}
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        statuses.add("422")
    if form := getattr(view, "key_form", None):
        statuses |= {"409", "422"}
        operation.setdefault("parameters", []).append(
            {
                "name": HEADER,
                "in": "header",
                "schema": form,
                "description": "Makes a retry harmless: the same key and body gives the stored answer, for 24 hours.",
            }
        )
    operation["responses"].pop("422", None)
    for status in sorted(statuses):
        if "content" not in operation["responses"].get(status, {}):  # a page says it in its own way
            operation["responses"][status] = _problem(status)
    if is_limited:
        for response in operation["responses"].values():
            response.setdefault("headers", {}).update(
                {name: {"$ref": f"#/components/headers/{name}"} for name in LIMITS}
            )
    if needed.kind != "public":
        operation["security"] = [{"token": []}]
    if needed.scope is not None:
        operation["security"].append({"key": [needed.scope]})
        operation["x-scope"] = needed.scope
        told = f"An API key needs the scope `{needed.scope}`."
        operation["description"] = "\n\n".join(filter(None, (operation.get("description"), told)))
    if needed.only_if_setting is not None or needed.allows_signed_link:
        operation["security"].append({})  # an installation may open it to everybody, a signed link to whoever has it


def _error_statuses(needed: Requirement, rule: Rule) -> set[str]:
    found = set() if needed.kind == "public" else {"401", "403"}  # 403: also for an API key that may not do this
    if rule.arguments:
        found.add("404")
    return found


def _problem(status: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if status in ("429", "503") else {}
    return {
        "description": STATUS_DESCRIPTIONS[status],
        "content": {"application/problem+json": {"schema": schema}},
    } | headers


def _socket(path: str, summary: str) -> dict[str, Any]:
    """A WebSocket, which OpenAPI has no words for, as the request that opens it."""
    name = path[path.index("{") + 1 : path.index("}")]
    return {
        "operationId": f"socket_{name}",
        "summary": summary,
        "description": "WebSocket: one JSON object per message; its `id` is the place to resume from with `since`. "
        "Credentials by Authorization header, or by a `ticket` from POST /ws/ticket.",
        "tags": ["Live events"],
        "security": [{"token": []}, {}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
            {"name": "ticket", "in": "query", "schema": {"type": "string"}},
            {"name": "since", "in": "query", "schema": {"type": "string"}},
        ],
        "responses": {
            "101": {"description": "Upgraded"},
            **{status: _problem(status) for status in ("400", "401", "403", "404", "429", "503")},
        },
    }
