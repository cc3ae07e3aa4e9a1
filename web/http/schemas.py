"""Base models and field types of requests and responses, path models of several slices, and the JSON provider."""

from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Any, ClassVar, Self, TypeVar
from uuid import UUID

from flask import current_app, has_request_context, request
from flask.json.provider import DefaultJSONProvider
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema
from pydantic_core import CoreSchema

from shared.accounts.rules import USERNAME
from shared.analytics.calendar import time_zone
from shared.infra import strict_json
from shared.infra.event_loop import run_in_thread
from shared.infra.schema_types import (
    Body,
    FiniteFloat,
    HttpUrl,
    Latitude,
    Longitude,
    PositiveInt,
    StrictBool,
    Text,
    TextFormat,
    Timestamp,
    WholeNumber,
    single_line,
)

__all__ = [
    "Body",
    "CodePath",
    "CsvQuery",
    "FiniteFloat",
    "HttpUrl",
    "Id",
    "LargeBody",
    "Latitude",
    "Longitude",
    "Name",
    "OptionalBody",
    "OrganizationPath",
    "PatchBody",
    "PositiveInt",
    "Query",
    "QueryBool",
    "ResponseModel",
    "StrictBool",
    "StrictJSONProvider",
    "Text",
    "TextFormat",
    "TimeZone",
    "Timestamp",
    "Username",
    "WholeNumber",
    "checks_list",
]


View = TypeVar("View", bound=Callable[..., Any])

MAX_BYTES_ON_LOOP = 64 * 1024
"""A longer JSON text is read and written in a native thread."""


class LargeBody(Body):
    """A body of up to several megabytes, which is validated in a native thread."""

    @classmethod
    def model_validate(cls, *args: Any, **kwargs: Any) -> Self:
        return run_in_thread(partial(super().model_validate, *args, **kwargs))


def _true_or_false(value: object) -> object:
    if value not in ("true", "false"):
        raise ValueError("Use true or false.")
    return value == "true"


QueryBool = Annotated[bool, BeforeValidator(_true_or_false)]


class PatchBody(Body):
    """A body whose absent fields change nothing. An explicit null clears a nullable field."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema without defaults: an absent field has none."""
        json_schema = handler(schema)
        for field in handler.resolve_ref_schema(json_schema).get("properties", {}).values():
            field.pop("default", None)
        return json_schema

    def changes(self) -> dict[str, Any]:
        """Return the fields in the body, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class OptionalBody(Body):
    """A body that a request may leave out. Each field has a default, which it then has."""

    @model_validator(mode="before")
    @classmethod
    def _empty_if_absent(cls, values: Any) -> Any:
        return {} if values is None else values


class Query(BaseModel):
    """A query string. Name subclasses `…Query`: the suffix decides the `loc` of a validation error."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, values: Any) -> Any:
        strict_json.check_values(values, "query")
        return values

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema without null, which a query string cannot express."""
        json_schema = handler(schema)
        for field in handler.resolve_ref_schema(json_schema).get("properties", {}).values():
            match [option for option in field.get("anyOf", ()) if option != {"type": "null"}]:
                case [only]:
                    del field["anyOf"]
                    field.pop("default", None)
                    field.update(only)
        return json_schema

    @classmethod
    @cache
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the cached schema: the framework needs it on every request."""
        return super().model_json_schema(*args, **kwargs)


BYTE_ORDER_MARK = "\ufeff"


class CsvQuery(Query):
    """Options of a CSV file."""

    bom: QueryBool = Field(
        False, description="Begin with a byte order mark, so that Excel reads UTF-8", examples=[True]
    )

    @property
    def start(self) -> str:
        """What comes before the header."""
        return BYTE_ORDER_MARK if self.bom else ""


class ResponseModel(BaseModel):
    """A response body. Times and ids are formatted as in the wire contract."""

    model_config = ConfigDict(from_attributes=True)
    nullable: ClassVar[bool] = True


def _hyphenated(value: object) -> object:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or len(value) != 36:
        raise ValueError("Use a UUID such as 0197a6b0-0000-7000-8000-000000000000.")
    return value


def _time_zone(name: str) -> str:
    time_zone(name)
    return name


Id = Annotated[UUID, BeforeValidator(_hyphenated), WithJsonSchema({"type": "string", "format": "uuid"})]
Username = Annotated[str, TextFormat(USERNAME, "Use 3 to 32 letters, digits, _, . or -.")]
Name = Annotated[str, single_line(200)]
TimeZone = Annotated[
    str, AfterValidator(_time_zone), Field(description="IANA time zone", examples=["Europe/Amsterdam"])
]


class OrganizationPath(Body):
    org_id: Id


class CodePath(OrganizationPath):
    qr_id: Id


class StrictJSONProvider(DefaultJSONProvider):
    """JSON that RFC 8259 allows and PostgreSQL can store; other bodies are rejected. Keys keep their order."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        view = current_app.view_functions.get(request.endpoint or "") if has_request_context() else None
        unchecked = getattr(view, "list_checked_by_view", None)
        if len(s) <= MAX_BYTES_ON_LOOP:
            return strict_json.loads(s, unchecked=unchecked, **kwargs)
        return run_in_thread(lambda: strict_json.loads(s, unchecked=unchecked, **kwargs))


def checks_list(name: str) -> Callable[[View], View]:
    """Let a view check the entries of a list in its body, with `strict_json.check_values`, and refuse each alone."""

    def mark(view: View) -> View:
        view.list_checked_by_view = name  # type: ignore[attr-defined]
        return view

    return mark
