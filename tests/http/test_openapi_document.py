"""The OpenAPI document describes every operation, and its examples match their schemas."""

import re
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, ValidationError

from web.http.openapi import specification
from web.http.openapi_examples import MISSING, build_example
from web.http.schemas import Body, ResponseModel

CODE = {"code": "spy123"}
BINARY = {"image/png", "image/svg+xml", "application/pdf", "application/zip", "multipart/form-data"}
"""Content that an example in the document cannot show."""
VERBS = (
    "Accept|Add|Annul|Answer|Cancel|Change|Check|Claim|Create|Decline|Delete|Download|Exchange|Erase|Explain|Export|Follow|Generate|Get|Import|"
    "List|Log|Open|Refresh|Register|Release|Remove|Render|Reset|Restore|Retrieve|Revoke|Set|Simulate|Start|Submit|Track|Update|Upgrade|"
    "Upload"
)


@pytest.fixture(scope="module")
def spec(app: Flask) -> dict[str, Any]:
    return specification(app)  # type: ignore[arg-type]


def operations(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    }


def bodies(operation: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return where each request and response body is, its content type, and its description."""
    parts = {"request": operation.get("requestBody", {}), **operation["responses"]}
    return [
        (name, content_type, media)
        for name, part in parts.items()
        for content_type, media in part.get("content", {}).items()
    ]


def examples(media: dict[str, Any], spec: dict[str, Any]) -> list[Any]:
    if "example" in media:
        return [media["example"]]
    found = []
    for example in media.get("examples", {}).values():
        name = example.get("$ref", "").rpartition("/")[2]
        found.append(spec["components"]["examples"][name]["value"] if name else example["value"])
    return found


def errors(example: Any, schema: dict[str, Any], spec: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator(schema | {"components": spec["components"]}, format_checker=FormatChecker())
    return [error.message for error in validator.iter_errors(example)]


def test_every_summary_is_one_imperative_line(spec: dict[str, Any]) -> None:
    wrong = [
        f"{name}: {operation.get('summary')!r}"
        for name, operation in operations(spec).items()
        if not re.fullmatch(rf"({VERBS}) [^.…\n]{{1,70}}[^.…\n,;:]", operation.get("summary") or "")
    ]
    assert not wrong


def test_every_operation_is_described_in_whole_sentences(spec: dict[str, Any]) -> None:
    wrong = [
        name
        for name, operation in operations(spec).items()
        if not re.search(r"^[A-Z`].*[.:`]$", operation.get("description") or "", re.DOTALL)
        or "<br/>" in operation["description"]
    ]
    assert not wrong


def test_every_tag_is_used_and_described(spec: dict[str, Any]) -> None:
    described = {tag["name"] for tag in spec["tags"] if tag.get("description")}
    assert described == {tag["name"] for tag in spec["tags"]}
    assert {tag for operation in operations(spec).values() for tag in operation["tags"]} == described


def test_introduction_covers_what_all_operations_share(spec: dict[str, Any]) -> None:
    headings = re.findall(r"^## (.+)$", spec["info"]["description"], re.MULTILINE)
    assert headings == [
        "Authentication",
        "Errors",
        "Idempotency",
        "Rate limits",
        "Waiting for a verdict",
        "WebSockets",
    ]


def test_every_body_has_an_example(spec: dict[str, Any]) -> None:
    missing = [
        f"{name} {part} {content_type}"
        for name, operation in operations(spec).items()
        for part, content_type, media in bodies(operation)
        if content_type not in BINARY and not examples(media, spec)
    ]
    assert not missing


def test_every_example_matches_its_schema(spec: dict[str, Any]) -> None:
    wrong = {
        f"{name} {part}": errors(example, media["schema"], spec)
        for name, operation in operations(spec).items()
        for part, _, media in bodies(operation)
        for example in examples(media, spec)
        if errors(example, media["schema"], spec)
    }
    assert not wrong


def test_every_request_example_is_accepted(app: Flask, spec: dict[str, Any]) -> None:
    """The models check more than a schema can express, such as fields that exclude each other."""
    wrong = {}
    for rule in app.url_map.iter_rules():
        body = getattr(app.view_functions[rule.endpoint], "__annotations__", {}).get("body")
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in rule.methods or ():
            operation = operations(spec).get(f"{method} {path}", {})
            media = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if media is not None and body is not None:
                try:
                    body.model_validate(examples(media, spec)[0])
                except ValidationError as error:
                    wrong[f"{method} {path}"] = [detail["msg"] for detail in error.errors()]
    assert not wrong


def test_every_number_in_a_request_has_its_limits(spec: dict[str, Any]) -> None:
    unlimited = []

    def visit(schema: Any, where: str) -> None:
        if isinstance(schema, dict):
            if "$ref" in schema:
                name = schema["$ref"].rpartition("/")[2]
                visit(spec["components"]["schemas"][name], name)
            elif schema.get("type") == "integer" and not {"minimum", "maximum"} <= schema.keys():
                unlimited.append(where)
            for name, member in schema.items():
                visit(member, f"{where}.{name}")
        elif isinstance(schema, list):
            for member in schema:
                visit(member, where)

    for name, operation in operations(spec).items():
        for parameter in operation.get("parameters", ()):
            visit(parameter["schema"], f"{name} {parameter['name']}")
        for content_type, media in operation.get("requestBody", {}).get("content", {}).items():
            visit(media.get("schema", {}), f"{name} {content_type}")
    assert unlimited == []


def test_no_two_models_of_bodies_share_a_name(app: Flask) -> None:
    """The document names a schema after its model, so the second of a name would replace the first."""
    modules: dict[str, set[str]] = {}
    queue: list[type[BaseModel]] = [Body, ResponseModel]
    while queue:
        model = queue.pop()
        queue += model.__subclasses__()
        # Models of paths are not in the schemas.
        if model.__module__.startswith(("shared.", "web.")) and not model.__name__.endswith("Path"):
            modules.setdefault(model.__name__, set()).add(model.__module__)

    assert {name: names for name, names in modules.items() if len(names) > 1} == {}


def test_every_parameter_has_a_valid_example_or_a_closed_form(spec: dict[str, Any]) -> None:
    wrong = []
    for name, operation in operations(spec).items():
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            if "example" in parameter and errors(parameter["example"], schema, spec):
                wrong.append(f"{name} {parameter['name']}: {errors(parameter['example'], schema, spec)}")
    assert not wrong


def test_wrong_example_is_noticed(spec: dict[str, Any]) -> None:
    """The negative control of the tests above."""
    assert errors({"title": 1}, spec["components"]["schemas"]["Problem"], spec)
    assert errors("no-uuid", {"type": "string", "format": "uuid"}, spec)


@pytest.mark.parametrize(
    ("schema", "name", "expected"),
    [
        ({"type": "string", "examples": ["first", "second"]}, "code", "first"),
        ({"type": "string", "const": "Bearer"}, "code", "Bearer"),
        ({"type": "string"}, "code", "spy123"),
        ({"type": "string"}, "unknown_field", MISSING),
        ({"type": "integer"}, "code", 1),
        ({"type": "integer", "minimum": 5}, "radius_m", 5),
        ({"type": "array", "items": {"type": "string"}}, "codes", ["spy123"]),
        (
            {"type": "object", "properties": {"code": {"type": "string"}, "x": {"type": "string"}}},
            "",
            {"code": "spy123"},
        ),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, "", True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "unknown_field", None),
        ({"$ref": "#/components/schemas/Named"}, "", {"name": "City Museum"}),
    ],
)
def test_example_is_built_from_a_schema(schema: dict[str, Any], name: str, expected: Any) -> None:
    named = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    assert build_example(schema, {"components": {"schemas": {"Named": named}}}, name) == expected
