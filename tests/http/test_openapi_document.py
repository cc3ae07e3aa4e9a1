"""The OpenAPI document describes every operation, and its examples match their schemas."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, ValidationError

from script.stack.running_server import CHECKOUT
from shared.scans.rules import REASONS
from shared.settings import settings
from web.http.openapi import specification
from web.http.openapi_examples import MISSING, build_example
from web.http.openapi_texts import OPERATION_IDS, RESPONSE_HEADERS, WAITING_OPERATIONS
from web.http.schemas import Body, ResponseModel
from web.realtime.event_stream import PING_SECONDS

CODE = {"code": "spy123"}
BINARY = {"image/png", "image/svg+xml", "application/pdf", "application/zip", "multipart/form-data"}
"""Content that an example in the document cannot show."""
VERBS = (
    "Accept|Add|Annul|Answer|Cancel|Change|Check|Claim|Create|Decline|Delete|Download|Exchange|Erase|Explain|Export|Follow|Generate|Get|Import|Invite|"
    "List|Log|Open|Redeem|Refresh|Register|Release|Remove|Render|Reset|Restore|Retrieve|Revoke|Set|Simulate|Solve|Start|Submit|Track|Undo|Update|Upgrade|"
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


def test_introduction_and_guide_describe_the_same_events(spec: dict[str, Any]) -> None:
    texts = (spec["info"]["description"], (CHECKOUT / "docs" / "api-guide.md").read_text())
    tables = [re.findall(r"^\| event \|.*\n(?:\|.*\n)+", text, re.MULTILINE) for text in texts]
    named = [set(re.findall(r"`(\w+)`", "".join(tables[0]))), set(re.findall(r"`(\w+)`", "".join(tables[1])))]
    limits = (PING_SECONDS, settings().event_retention_days, settings().max_websockets_per_client)

    assert named[0] | {"id"} == named[1]
    assert {"qr_scan", "reset", "render_done", "scan_reviewed", "previous_status"} <= named[0]
    assert [(limit, text) for limit in limits for text in texts if not re.search(rf"\b{limit}\b", text)] == []


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


def schemas(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema in the document, and where it is. The last part of the place is the name of the field."""

    def visit(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(schema, list):
            for member in schema:
                yield from visit(member, where)
        elif isinstance(schema, dict):
            yield where, schema
            for name, member in schema.get("properties", {}).items():
                yield from visit(member, f"{where} {name}")
            for keyword in ("anyOf", "oneOf", "allOf", "items", "additionalProperties"):
                yield from visit(schema.get(keyword), where)

    for kind in ("schemas", "headers"):
        for name, schema in spec["components"][kind].items():
            yield from visit(schema.get("schema", schema), name)
    for name, operation in operations(spec).items():
        for parameter in operation.get("parameters", ()):
            yield from visit(parameter["schema"], f"{name} {parameter['name']}")
        for part, content_type, media in bodies(operation):
            yield from visit(media.get("schema", {}), f"{name} {part} {content_type}")
        for status, response in operation["responses"].items():
            for header, value in response.get("headers", {}).items():
                yield from visit(value.get("schema", {}), f"{name} {status} {header}")


def undescribed(spec: dict[str, Any]) -> list[str]:
    properties = [
        f"{where} {name}"
        for where, schema in schemas(spec)
        for name, member in schema.get("properties", {}).items()
        if not member.get("description")
    ]
    parameters = [
        f"{name} {parameter['name']}"
        for name, operation in operations(spec).items()
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    return properties + parameters


def unlimited(spec: dict[str, Any]) -> list[str]:
    return [
        where
        for where, schema in schemas(spec)
        if "integer" in (schema.get("type"), *(schema["type"] if isinstance(schema.get("type"), list) else ()))
        and not {"minimum", "maximum"} <= schema.keys()
        and not {"enum", "const"} & schema.keys()
    ]


def test_every_property_and_parameter_is_described(spec: dict[str, Any]) -> None:
    assert undescribed(spec) == []


def test_every_whole_number_has_its_limits(spec: dict[str, Any]) -> None:
    assert unlimited(spec) == []


def test_every_reason_is_one_of_a_closed_list(spec: dict[str, Any]) -> None:
    """The reason of a render is a sentence."""
    verdicts = [
        (where, [option for option in member.get("anyOf", [member]) if option.get("type") != "null"])
        for where, schema in schemas(spec)
        for name, member in schema.get("properties", {}).items()
        if name in ("reason", "held_for") and where != "RenderResponse"
    ]
    counts = spec["components"]["schemas"]["CodeStatsResponse"]["properties"]["reasons"]

    assert len(verdicts) >= 6
    assert [where for where, options in verdicts if not all(option.get("enum") for option in options)] == []
    assert [where for where, options in verdicts if where != "Problem" and options[0]["enum"] != list(REASONS)] == []
    assert ", ".join(REASONS) in counts["description"]


def test_operation_ids_are_unique_names_of_methods(app: Flask, spec: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(spec).values()]

    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert OPERATION_IDS.keys() - app.view_functions.keys() == set()
    assert {*WAITING_OPERATIONS, *(name for name, _ in RESPONSE_HEADERS)} - set(names) == set()
    assert {name.partition("_")[0].capitalize() for name in names} - set(VERBS.split("|")) == set()


def test_responses_with_202_state_where_to_look(spec: dict[str, Any]) -> None:
    """An invitation or a closed organization has no progress. A batch names each of its scans."""
    polled = {
        operation["operationId"]: operation["responses"]["202"].get("headers", {}).keys()
        for operation in operations(spec).values()
        if "202" in operation["responses"]
    }
    without = {"invite_member", "update_member", "delete_organization", "submit_batch"}
    assert {name for name, headers in polled.items() if not {"Location", "Retry-After"} <= headers} == without


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
    wrong = {"type": "object", "properties": {"count": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}}
    other = {"components": {"schemas": {"Wrong": wrong}, "headers": {}}, "paths": {}}
    assert undescribed(other) == unlimited(other) == ["Wrong count"]


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
