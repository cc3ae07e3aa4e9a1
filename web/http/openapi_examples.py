"""Examples of requests and responses, built from the examples of their fields."""

from collections.abc import Iterator
from typing import Any

JSON = "application/json"
MISSING = object()
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "array": (list,),
    "integer": (int,),
    "number": (int, float),
}
ID = "0197a6b0-3c1e-7d52-9a4f-2b8c6d1e0f35"
ORGANIZATION = "/api/organizations/0197a6b1-0a2b-7c3d-8e4f-5a6b7c8d9e0f"
BY_FORMAT: dict[str, Any] = {
    "uuid": ID,
    "date-time": "2026-02-12T10:00:00Z",
    "date": "2026-02-12",
}
BY_NAME: dict[str, Any] = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMTk3In0.x1",
    "refresh_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMTk3In0.y2",
    "username": "ada",
    "password": "correct horse battery",
    "current_password": "correct horse battery",
    "new_password": "staple battery correct",
    "email": "ada@example.com",
    "timezone": "Europe/Amsterdam",
    "tz": "Europe/Amsterdam",
    "name": "City Museum",
    "slug": "city-museum",
    "url": "https://museum.example",
    "expires_at": "2099-12-31T23:59:59Z",
    "code": "spy123",
    "qr_code": "spy123",
    "destination_code": "spy124",
    "description": "Under the bridge",
    "target_url": "https://museum.example/visit",
    "item": "spy_gadget",
    "reward": "spy_gadget",
    "quantity": 1,
    "qty": 1,
    "expires_in": 900,
    "expiration_hours": 24,
    "size": 300,
    "bytes": 48_213,
    "logo_size_percent": 20,
    "radius_m": 50.0,
    "max_scans": 100,
    "max_attempts": 3,
    "cooldown_seconds": 3_600,
    "offline_hours": 24,
    "answer_within_hours": 24.0,
    "window_seconds": 60,
    "players": 3,
    "per_player": 20,
    "per_code": 200,
    "total": 120,
    "done": 60,
    "failed": 0,
    "progress": 0.5,
    "streak": 3,
    "duplication": 10,
    "success_rate": 0.95,
    "hit_ratio": 0.9,
    "distance_m": 4.2,
    "latitude": 52.3731,
    "longitude": 4.8926,
    "accuracy": 12.5,
    "nonce": "scan-1042",
    "next_cursor": None,
    "loc": "body.latitude",
    "tag": "city-walk",
    "tags": ["city-walk"],
    "data": "https://example.com",
    "answer": "open sesame",
    "solution": "open sesame",
    "prefix": "wm_4fz8kq2n",
    "key": "wm_4fz8kq2n_x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e",
    "quest_name": "sign-in-three-times",
    "foreground_color": "#000000",
    "background_color": "#FFFFFF",
    "organization": "City Museum",
    "status_url": f"{ORGANIZATION}/imports/{ID}",
    "result_url": f"/scan/{ID}",
    "image_url": f"/retrieve/{ID}/image",
    "download_url": f"{ORGANIZATION}/renders/{ID}/download",
    "q": "spy",
    "ticket": "x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e6f7g8h9i0j1",
    "address": "192.0.2.7",
    "ip": "192.0.2.7",
    "request_id": ID,
    "object_id": ID,
}
"""Examples of field names that mean the same in every model. A field's own example has precedence."""


def add_examples(spec: dict[str, Any]) -> None:
    """Add an example to each JSON body of a request or response, and each parameter, that has none."""
    for operation in _operations(spec):
        for parameter in operation.get("parameters", ()):
            if not {"example", "examples"} & parameter.keys():
                example = build_example(parameter.get("schema", {}), spec, parameter["name"])
                if example is not MISSING and example is not None:
                    parameter["example"] = example
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (body.get("content", {}).get(JSON, {}) for body in bodies):
            if "schema" in media and not {"example", "examples"} & media.keys():
                example = build_example(media["schema"], spec)
                if example is not MISSING:
                    media["example"] = example


def _operations(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in spec["paths"].values():
        yield from path.values()


def build_example(schema: dict[str, Any], spec: dict[str, Any], name: str = "") -> Any:
    """Return an example of a schema, or `MISSING` if it has no example and no form to build one from.

    In order: the example of the field, of the model, of the field's name, the constant or first value, the default, and
    the format. Objects and arrays are built from their members. Optional members without an example are left out.
    """
    if "$ref" in schema:
        target = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return build_example(target | {key: schema[key] for key in schema if key != "$ref"}, spec, name)
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        examples = schema["examples"]
        return examples[0] if isinstance(examples, list) else next(iter(examples.values()))["value"]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for combination in ("anyOf", "oneOf"):
        if combination in schema:
            return _example_of_options(schema[combination], schema, spec, name)
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return build_example(schema["allOf"][0], spec, name)
    if name in BY_NAME and _fits(BY_NAME[name], schema):
        return BY_NAME[name]
    if schema.get("default") is not None:
        return schema["default"]
    return _example_of_type(schema, spec, name)


def _example_of_options(options: list[dict[str, Any]], schema: dict[str, Any], spec: dict[str, Any], name: str) -> Any:
    for option in options:
        if option.get("type") != "null":
            example = build_example(option, spec, name)
            if example is not MISSING:
                return example
    return schema.get("default", None if {"type": "null"} in options else MISSING)


def _example_of_type(schema: dict[str, Any], spec: dict[str, Any], name: str) -> Any:
    match schema.get("type"):
        case "object":
            return _example_of_object(schema, spec)
        case "array":
            item = build_example(schema.get("items", {}), spec, name.removesuffix("s"))
            return [] if item is MISSING else [item] * max(1, schema.get("minItems", 1))
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "string" if schema.get("format") in BY_FORMAT:
            return BY_FORMAT[schema["format"]]
    return MISSING


def _example_of_object(schema: dict[str, Any], spec: dict[str, Any]) -> Any:
    example: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        value = build_example(field, spec, name)
        if value is not MISSING:
            example[name] = value
        elif name in schema.get("required", ()):
            return MISSING
    return example


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    if value is None:
        return kind in (None, "null")
    return isinstance(value, TYPES.get(str(kind), ()))
