"""Messages for the errors of pydantic: they state what is allowed, without patterns and types of Python."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

INVALID = "is not valid"
"""For kinds of errors that no field of Waymark has."""
TIME = "must be an RFC 3339 time such as 2026-02-12T10:00:00Z"
MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "datetime_type": TIME,
    "datetime_parsing": TIME,
    "datetime_from_date_parsing": TIME,
    "timezone_offset": TIME,
}
"""By the `type` of the error."""


def errors_of(error: ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the location and the message of each error."""
    for detail in error.errors(include_url=False, include_input=False):
        yield detail["loc"], _message(detail["type"], detail["msg"], detail.get("ctx", {}))


def _message(kind: str, text: str, context: Mapping[str, Any]) -> str:
    match kind:
        # Texts of Waymark's validators.
        case "value_error":
            return text.removeprefix("Value error, ")
        case "text_format" | "whole_number":
            return text
        case "literal_error":
            return f"must be {context['expected'].replace(chr(39), '')}"
        case "greater_than_equal":
            return f"must be at least {_number(context['ge'])}"
        case "greater_than":
            return f"must be more than {_number(context['gt'])}"
        case "less_than_equal":
            return f"must be at most {_number(context['le'])}"
        case "less_than":
            return f"must be less than {_number(context['lt'])}"
        case "string_too_short":
            return f"must have at least {_count(context['min_length'], 'character')}"
        case "string_too_long":
            return f"must have at most {_count(context['max_length'], 'character')}"
        case "too_short":
            return f"must have at least {_count(context['min_length'], 'entry', 'entries')}"
        case "too_long":
            return f"must have at most {_count(context['max_length'], 'entry', 'entries')}"
    return MESSAGES.get(kind, INVALID)


def _number(limit: float) -> str:
    return f"{int(limit) if limit == int(limit) else limit:,}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
