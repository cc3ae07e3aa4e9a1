"""Field types with their limits, for request bodies and for files."""

from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic.json_schema import WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from shared.infra.timestamps import format_rfc3339
from shared.infra.urls import MAX_URL, WEB_URL, is_web_url


class Body(BaseModel):
    """A request body. Unknown fields are errors, so that a misspelled one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class TextFormat:
    """The pattern of a text, and the message that states it in words: no error message contains a pattern."""

    pattern: str
    message: str
    min_length: int | None = None
    max_length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(pattern=self.pattern, min_length=self.min_length, max_length=self.max_length)
        return core_schema.custom_error_schema(text, "text_format", custom_error_message=self.message)


@dataclass(frozen=True)
class WholeNumber:
    """A whole number from `minimum` to `maximum`, also if it is written as 5.0: JSON has one type of number."""

    minimum: int
    maximum: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # The limits belong to the inner schema. Limits of a field with a function are left out of its JSON schema.
        number = core_schema.int_schema(strict=True, ge=self.minimum, le=self.maximum)
        return core_schema.custom_error_schema(
            core_schema.no_info_before_validator_function(_integral, number),
            "whole_number",
            custom_error_message=f"Use a whole number from {self.minimum:,} to {self.maximum:,}.",
        )


def single_line(max_length: int) -> TextFormat:
    """Return the format of a text on one line that is not blank."""
    pattern = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
    return TextFormat(pattern, f"Use one line of 1 to {max_length:,} characters, not only blanks.", 1, max_length)


def _rfc3339(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper():
        raise ValueError("Use an RFC 3339 time such as 2026-02-12T10:00:00Z.")
    return value


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("Use an RFC 3339 time with its offset, such as 2026-02-12T10:00:00Z.")
    # Every time zone can represent the years between.
    if not MINYEAR < value.year < MAXYEAR:
        raise ValueError("Use a time between the years 2 and 9998.")
    return value.astimezone(UTC)


def _web_url(text: str) -> str:
    if not is_web_url(text):
        raise ValueError("Use an http:// or https:// URL with a host, without credentials and backslashes.")
    return text


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _positive_zero(value: float) -> float:
    return value + 0.0


FiniteFloat = Annotated[float, Field(strict=True, allow_inf_nan=False)]
PositiveInt = Annotated[int, WholeNumber(1, 2**31 - 1)]
StrictBool = Annotated[bool, Field(strict=True)]
Timestamp = Annotated[
    datetime,
    BeforeValidator(_rfc3339),
    AfterValidator(_in_utc),
    PlainSerializer(format_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Latitude = Annotated[FiniteFloat, Field(ge=-90, le=90), AfterValidator(_positive_zero)]
Longitude = Annotated[FiniteFloat, Field(ge=-180, le=180), AfterValidator(_positive_zero)]
Text = Annotated[str, StringConstraints(max_length=2_000)]
HttpUrl = Annotated[
    str, AfterValidator(_web_url), WithJsonSchema({"type": "string", "pattern": WEB_URL, "maxLength": MAX_URL})
]
