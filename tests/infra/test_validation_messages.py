"""Validation errors state what is allowed in plain English: no patterns, and no words of the library."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.infra.schema_types import FiniteFloat, HttpUrl, StrictBool, TextFormat, Timestamp, WholeNumber, single_line
from shared.validation_messages import errors_of


class Part(BaseModel):
    size: int = 1


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")

    required: str
    code: Annotated[str, TextFormat(r"^[a-z]{3}$", "Use 3 lowercase letters.")] = "abc"
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


TIME = "Use an RFC 3339 time such as 2026-02-12T10:00:00Z."


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("required", 5, "Use a string."),
        ("other", 1, "This field is unknown. Remove it, or check its spelling."),
        ("code", "ABC", "Use 3 lowercase letters."),
        ("code", 5, "Use 3 lowercase letters."),
        ("name", "too long", "Use one line of 1 to 5 characters, not only blanks."),
        ("name", "a\nb", "Use one line of 1 to 5 characters, not only blanks."),
        ("name", " ", "Use one line of 1 to 5 characters, not only blanks."),
        ("short", "", "Use at least 1 character."),
        ("short", "x" * 2_001, "Use at most 2,000 characters."),
        ("whole", 0, "Use a whole number from 1 to 50,000."),
        ("whole", 50_001, "Use a whole number from 1 to 50,000."),
        ("whole", 1.5, "Use a whole number from 1 to 50,000."),
        ("whole", "1", "Use a whole number from 1 to 50,000."),
        ("whole", True, "Use a whole number from 1 to 50,000."),
        ("parsed_range", 0, "Use a number of at least 1."),
        ("parsed_range", 50_001, "Use a number of at most 50,000."),
        ("parsed", "x", "Use a whole number."),
        ("parsed", 1.5, "Use a whole number."),
        ("parsed", "9" * 5_000, "Use a whole number."),
        ("number", 0.5, "Use a number above 0.5."),
        ("number", 91, "Use a number of at most 90."),
        ("number", "1", "Use a number."),
        ("number", float("nan"), "Use a finite number."),
        ("flag", "yes", "Use true or false."),
        ("level", "X", "Use L, M or Q."),
        ("entries", [], "Use at least 1 entry."),
        ("entries", [1, 2, 3], "Use at most 2 entries."),
        ("entries", "1", "Use a list."),
        ("free", [], "Use an object."),
        ("part", "x", "Use an object."),
        ("at", 5, TIME),
        ("at", "yesTerday", TIME),
        ("at", "2026-13-45T10:00:00Z", TIME),
        ("at", "2026-02-12T10:00:00+99:00", TIME),
        ("url", "x", "Use an http:// or https:// URL with a host, without credentials and backslashes."),
    ],
)
def test_message_states_the_allowed_values(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({"required": "x"} | {field: value})

    assert list(errors_of(caught.value)) == [((field,), message)]


def test_missing_field_is_required() -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({})

    assert list(errors_of(caught.value)) == [(("required",), "This field is required.")]
