"""Validation errors state what is allowed in plain English: no patterns, and no words of the library."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.infra.schema_types import FiniteFloat, HttpUrl, StrictBool, TextFormat, Timestamp, WholeNumber, single_line
from shared.infra.validation_messages import errors_of


class Part(BaseModel):
    size: int = 1


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")

    required: str
    code: Annotated[str, TextFormat(r"^[a-z]{3}$", "must be 3 lowercase letters")] = "abc"
    name: Annotated[str, single_line(5)] = "name"
    short: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] = "x"
    whole: Annotated[int, WholeNumber(1, 50_000)] = 1
    parsed_range: Annotated[int, Field(ge=1, le=50_000)] = 1
    parsed: int = 1
    number: Annotated[FiniteFloat, Field(gt=0.5, le=90.0)] = 1.0
    flag: StrictBool = True
    level: Literal["L", "M", "Q"] = "L"
    entries: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    free: dict[str, Any] = {}
    part: Part = Part()
    at: Timestamp | None = None
    url: HttpUrl | None = None


TIME = "must be an RFC 3339 time such as 2026-02-12T10:00:00Z"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("required", 5, "must be a string"),
        ("other", 1, "is not a known field"),
        ("code", "ABC", "must be 3 lowercase letters"),
        ("code", 5, "must be 3 lowercase letters"),
        ("name", "too long", "must be one line of 1 to 5 characters, and not blank"),
        ("name", "a\nb", "must be one line of 1 to 5 characters, and not blank"),
        ("name", " ", "must be one line of 1 to 5 characters, and not blank"),
        ("short", "", "must have at least 1 character"),
        ("short", "x" * 2_001, "must have at most 2,000 characters"),
        ("whole", 0, "must be a whole number from 1 to 50,000"),
        ("whole", 50_001, "must be a whole number from 1 to 50,000"),
        ("whole", 1.5, "must be a whole number from 1 to 50,000"),
        ("whole", "1", "must be a whole number from 1 to 50,000"),
        ("whole", True, "must be a whole number from 1 to 50,000"),
        ("parsed_range", 0, "must be at least 1"),
        ("parsed_range", 50_001, "must be at most 50,000"),
        ("parsed", "x", "must be a whole number"),
        ("parsed", 1.5, "must be a whole number"),
        ("parsed", "9" * 5_000, "must be a whole number"),
        ("number", 0.5, "must be more than 0.5"),
        ("number", 91, "must be at most 90"),
        ("number", "1", "must be a number"),
        ("number", float("nan"), "must be a finite number"),
        ("flag", "yes", "must be true or false"),
        ("level", "X", "must be L, M or Q"),
        ("entries", [], "must have at least 1 entry"),
        ("entries", [1, 2, 3], "must have at most 2 entries"),
        ("entries", "1", "must be a list"),
        ("free", [], "must be an object"),
        ("part", "x", "must be an object"),
        ("at", 5, TIME),
        ("at", "yesTerday", TIME),
        ("at", "2026-13-45T10:00:00Z", TIME),
        ("at", "2026-02-12T10:00:00+99:00", TIME),
        ("url", "x", "must be an http:// or https:// URL with a host, and without credentials or backslashes"),
    ],
)
def test_message_states_the_allowed_values(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({"required": "x"} | {field: value})

    assert list(errors_of(caught.value)) == [((field,), message)]


def test_missing_field_is_required() -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({})

    assert list(errors_of(caught.value)) == [(("required",), "is required")]
