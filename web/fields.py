"""What bodies, queries and answers are made of: field types with their limits, and the JSON that is let in."""

import json
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, NoReturn
from uuid import UUID

from flask.json.provider import DefaultJSONProvider
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema
from pydantic_core import CoreSchema

from shared.errors import Fault, Invalid
from shared.times import write_time
from shared.urls import MAX_URL, WEB_URL, is_web_url

MAX_DEPTH = 64
"""Of JSON within JSON: far more than anyone needs, and less than what any of our tools gives up at."""


class Body(BaseModel):
    """A request body. Unknown fields are refused by name, so that a misspelt one is not lost silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PatchBody(Body):
    """A body of which only the fields given change anything; an explicit null clears what may be null."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Without defaults: what is absent stays as it was."""
        found = handler(schema)
        for field in handler.resolve_ref_schema(found).get("properties", {}).values():
            field.pop("default", None)
        return found

    def changes(self) -> dict[str, Any]:
        """The fields given, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Query(BaseModel):
    """A query string. Name subclasses `…Query`: errors name their part of the request by it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, values: Any) -> Any:
        _check_values(values, "query")
        return values

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Without null, which no query string can say: what is not asked for is left out."""
        found = handler(schema)
        for field in handler.resolve_ref_schema(found).get("properties", {}).values():
            match [option for option in field.get("anyOf", ()) if option != {"type": "null"}]:
                case [only]:
                    del field["anyOf"]
                    field.pop("default", None)
                    field.update(only)
        return found

    @classmethod
    @cache
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Cached: the framework asks for it on every request."""
        return super().model_json_schema(*args, **kwargs)


class Answer(BaseModel):
    """A response body. Views give values; times and ids are written as the contract says."""

    model_config = ConfigDict(from_attributes=True)
    nullable: ClassVar[bool] = True


def _rfc3339(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper():
        raise ValueError("must be an RFC 3339 time such as 2026-02-12T10:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must be an RFC 3339 time with its offset, such as 2026-02-12T10:00:00Z")
    if not MINYEAR < value.year < MAXYEAR:  # so that it can be told in every time zone
        raise ValueError("must be a time between the years 2 and 9998")
    return value.astimezone(UTC)


def _hyphenated(value: object) -> object:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or len(value) != 36:
        raise ValueError("must be a UUID such as 0197a6b0-0000-7000-8000-000000000000")
    return value


def _true_or_false(value: object) -> object:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _web_url(text: str) -> str:
    if not is_web_url(text):
        raise ValueError("must be an http:// or https:// URL with a host, and without credentials or backslashes")
    return text


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _positive_zero(value: float) -> float:
    return value + 0.0


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
AnyWhole = Annotated[int, BeforeValidator(_integral), Field(strict=True)]
"""A whole number, also one that is written as 5.0: JSON knows one kind of number only. Say its limits."""
Whole = Annotated[AnyWhole, Field(ge=-(2**31), lt=2**31)]
Count = Annotated[Whole, Field(ge=1)]
Flag = Annotated[bool, Field(strict=True)]
QueryFlag = Annotated[bool, BeforeValidator(_true_or_false)]
Time = Annotated[
    datetime,
    BeforeValidator(_rfc3339),
    AfterValidator(_in_utc),
    PlainSerializer(write_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Id = Annotated[UUID, BeforeValidator(_hyphenated), WithJsonSchema({"type": "string", "format": "uuid"})]
Latitude = Annotated[Number, Field(ge=-90, le=90), AfterValidator(_positive_zero)]
Longitude = Annotated[Number, Field(ge=-180, le=180), AfterValidator(_positive_zero)]
Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{3,32}$")]
Text = Annotated[str, StringConstraints(max_length=2_000)]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$")]
"""Text on one line, not blank. Say how long it may be."""
WebUrl = Annotated[
    str, AfterValidator(_web_url), WithJsonSchema({"type": "string", "pattern": WEB_URL, "maxLength": MAX_URL})
]


class StrictJSON(DefaultJSONProvider):
    """JSON as RFC 8259 has it: no NaN or Infinity, and text that PostgreSQL can store (no NUL, no lone surrogates)."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            text = s.decode("utf-8") if isinstance(s, bytes) else s
            found = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, **kwargs)
        except UnicodeDecodeError:
            raise Invalid(Fault("body", "must be UTF-8")) from None
        except RecursionError:
            raise Invalid(Fault("body", "is nested too deeply")) from None
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError):
                raise Invalid(Fault("body", f"is not JSON: {error.msg} at character {error.pos}")) from None
            raise Invalid(Fault("body", str(error))) from None
        _check_values(found, "body")
        return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("holds a number that is too large")
    return value


def _check_values(value: Any, loc: str) -> None:
    """Refuse what cannot be stored or written again, naming where it stands."""
    open_values: list[tuple[Any, str, int]] = [(value, loc, 0)]
    while open_values:
        value, loc, depth = open_values.pop()
        if depth > MAX_DEPTH:
            raise Invalid(Fault(loc, f"must not be nested more than {MAX_DEPTH} deep"))
        if isinstance(value, str):
            if "\x00" in value:
                raise Invalid(Fault(loc, "must not contain NUL"))
            if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
                raise Invalid(Fault(loc, "must not contain lone surrogates"))
        elif isinstance(value, dict):
            for name, inner in value.items():
                shown = name if name.isprintable() else "…"
                open_values += [(name, loc, depth), (inner, f"{loc}.{shown}"[:200], depth + 1)]
        elif isinstance(value, list):
            open_values += [(inner, f"{loc}.{place}"[:200], depth + 1) for place, inner in enumerate(value)]
