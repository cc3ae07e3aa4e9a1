"""The OpenAPI 3.1 document of the whole service.

Views document their successful responses. Error responses, credentials, rate limits and headers follow from what a
view requires and accepts, and are added here. Examples are built from the examples of the fields.
"""

import inspect
from collections.abc import Iterator
from copy import deepcopy
from http import HTTPStatus
from typing import Any, cast

from flask import Flask
from flask_openapi import OpenAPI
from werkzeug.routing import Rule

from web.http.auth import Requirement, requirement_of
from web.http.idempotency import HEADER, KEY_SCHEMA
from web.http.openapi_descriptions import add_descriptions
from web.http.openapi_examples import add_examples
from web.http.openapi_texts import (
    DETAILS,
    KEY_DESCRIPTION,
    KEY_EXAMPLE,
    OPERATION_IDS,
    PREFER,
    PROBLEM,
    RANDOM_UUID_EXAMPLE,
    RATE_LIMIT_HEADERS,
    RESPONSE_HEADERS,
    RETRY_AFTER,
    SOCKET_DESCRIPTION,
    STATUS_DESCRIPTIONS,
    TAGS,
    UUID_EXAMPLE,
    WAITING_OPERATIONS,
    WEBSOCKETS,
)
from web.http.rate_limits import UNLIMITED_ENDPOINTS


def specification(app: OpenAPI) -> dict[str, Any]:
    """Return the OpenAPI document: the framework's, completed from the requirements of the views. It is built once."""
    if "specification" not in app.extensions:
        app.openapi_version = "3.1.0"
        spec = app.api_doc
        components = spec["components"]
        components["schemas"]["Problem"] = PROBLEM
        components["schemas"].pop("ValidationErrorModel", None)
        components["headers"] = {
            name: {"description": f"{description}. Absent if limits are off.", "schema": {"type": "integer"}}
            for name, description in RATE_LIMIT_HEADERS.items()
        }
        components["examples"] = {f"Problem{status}": {"value": _problem_example(status)} for status in DETAILS}
        spec["tags"] = [{"name": name, "description": description} for name, description in TAGS.items()]
        for rule, operation in _operations(app, spec):
            view = app.view_functions[rule.endpoint]
            _add_summary(operation, view)
            operation["operationId"] = OPERATION_IDS.get(rule.endpoint, rule.endpoint.rpartition(".")[2])
            _add_common_responses(rule, operation, view)
            _add_headers(operation, view)
        for path, (summary, description) in WEBSOCKETS.items():
            spec["paths"][path] = {"get": _socket(path, summary, description + SOCKET_DESCRIPTION)}
        add_descriptions(spec)
        add_examples(spec)
        app.extensions["specification"] = spec
    return cast("dict[str, Any]", app.extensions["specification"])


def _operations(app: Flask, spec: dict[str, Any]) -> Iterator[tuple[Rule, dict[str, Any]]]:
    for rule in app.url_map.iter_rules():
        path = "".join(f"{{{part}}}" if is_dynamic else part for is_dynamic, part in rule._trace).removeprefix("|")
        for method, operation in spec["paths"].get(path, {}).items():
            if method.upper() in (rule.methods or ()):
                yield rule, operation


def _add_summary(operation: dict[str, Any], view: Any) -> None:
    """Set summary and description: the first line of the view's docstring, and the paragraphs after it."""
    summary, _, description = (inspect.getdoc(view) or "").partition("\n")
    operation["summary"] = summary
    operation["description"] = description.strip()


def _add_common_responses(rule: Rule, operation: dict[str, Any], view: Any) -> None:
    """Add error responses, the credentials needed, and the headers of requests and responses."""
    requirement = requirement_of(view)
    statuses = {status for status in operation["responses"] if status >= "400" and status != "422"}
    statuses |= {"503"} | _error_statuses(requirement, rule)
    is_limited = rule.endpoint not in UNLIMITED_ENDPOINTS
    if is_limited:
        statuses.add("429")
    if "requestBody" in operation:
        statuses |= {"413", "415", "422"}
    # An unknown query parameter.
    if getattr(view, "query_names", ()) is not None:
        statuses.add("422")
    if schema := getattr(view, "idempotency_key_schema", None):
        statuses |= {"409", "422"}
        operation.setdefault("parameters", []).append(
            {
                "name": HEADER,
                "in": "header",
                "schema": schema,
                "description": KEY_DESCRIPTION,
                "example": _key_example(schema),
            }
        )
    operation["responses"].pop("422", None)
    for status in sorted(statuses):
        # A page documents its own error responses.
        if "content" not in operation["responses"].get(status, {}):
            operation["responses"][status] = _problem(status)
    if is_limited:
        for response in operation["responses"].values():
            response.setdefault("headers", {}).update(
                {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_LIMIT_HEADERS}
            )
    if requirement.kind != "public":
        operation["security"] = [{"session": []}] if requirement.browser_only else [{"token": []}]
    if requirement.scope is not None:
        operation["security"].append({"key": [requirement.scope]})
        operation["x-scope"] = requirement.scope
        sentence = f"An API key needs the scope `{requirement.scope}`."
        operation["description"] = "\n\n".join(filter(None, (operation["description"], sentence)))
    # A setting can make the operation public, and a signed link needs no credentials.
    if requirement.only_if_setting is not None or requirement.allows_signed_link:
        operation["security"].append({})


def _add_headers(operation: dict[str, Any], view: Any) -> None:
    """Add YAML and the headers of successful responses, and the header with which a client waits for a verdict."""
    name = operation["operationId"]
    if name in WAITING_OPERATIONS:
        operation.setdefault("parameters", []).append(deepcopy(PREFER))
    if content := getattr(view, "yaml_content", None):
        operation["responses"]["200"]["content"]["application/yaml"] = deepcopy(content)
    for status, response in operation["responses"].items():
        response.setdefault("headers", {}).update(deepcopy(RESPONSE_HEADERS.get((name, status), {})))


def _key_example(schema: dict[str, Any]) -> str:
    return KEY_EXAMPLE if schema == KEY_SCHEMA else RANDOM_UUID_EXAMPLE


def _error_statuses(requirement: Requirement, rule: Rule) -> set[str]:
    # 403 also for an API key, which most operations do not accept.
    statuses = set() if requirement.kind == "public" else {"401", "403"}
    if rule.arguments:
        statuses.add("404")
    return statuses


def _problem(status: str) -> dict[str, Any]:
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {"problem": {"$ref": f"#/components/examples/Problem{status}"}},
    }
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if status in ("429", "503") else {}
    return {"description": STATUS_DESCRIPTIONS[status], "content": {"application/problem+json": content}} | headers


def _problem_example(status: str) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(int(status)).phrase,
        "status": int(status),
        "detail": DETAILS[status],
        "instance": "/scan",
        "request_id": UUID_EXAMPLE,
    }
    if status == "401":
        example["reason"] = "expired"
    if status == "422":
        loc, _, message = DETAILS[status].partition(": ")
        example["errors"] = [{"loc": loc, "message": message}]
    return example


def _socket(path: str, summary: str, description: str) -> dict[str, Any]:
    """Return the operation that opens a WebSocket, as a GET request. OpenAPI cannot describe WebSockets."""
    name = path[path.index("{") + 1 : path.index("}")]
    return {
        "operationId": "follow_player" if name == "player_id" else "follow_organization",
        "summary": summary,
        "description": description,
        "tags": ["Live events"],
        "security": [{"token": []}, {}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
            {"name": "ticket", "in": "query", "schema": {"type": "string"}, "description": "From POST /ws/ticket"},
            {
                "name": "since",
                "in": "query",
                "schema": {"type": "string"},
                "description": "The `id` of the last message that the client received. If unknown: `reset`",
                "example": "184",
            },
        ],
        "responses": {
            "101": {"description": "Upgraded to a WebSocket"},
            **{status: _problem(status) for status in ("400", "401", "403", "404", "429", "503")},
        },
    }
