"""Messages for the errors of pydantic: they state what is allowed, without patterns and types of Python."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

INVALID = "This value is not valid."
"""For kinds of errors that no field of Waymark has."""
TIME = "Use an RFC 3339 time such as 2026-02-12T10:00:00Z."
MESSAGES = {
    "missing": "This field is required.",
    "extra_forbidden": "This field is unknown. Remove it, or check its spelling.",
    "string_type": "Use a string.",
    "bool_type": "Use true or false.",
    "bool_parsing": "Use true or false.",
    "int_type": "Use a whole number.",
    "int_parsing": "Use a whole number.",
    "int_parsing_size": "Use a whole number.",
    "int_from_float": "Use a whole number.",
    "float_type": "Use a number.",
    "float_parsing": "Use a number.",
    "finite_number": "Use a finite number.",
    "list_type": "Use a list.",
    "tuple_type": "Use a list.",
    "dict_type": "Use an object.",
    "model_type": "Use an object.",
    "path_not_file": "Use the path of an existing file.",
    "path_not_directory": "Use the path of an existing directory.",
    "path_type": "Use a path.",
    "uuid_type": "Use a UUID.",
    "uuid_parsing": "Use a UUID.",
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
            expected = context["expected"].replace("'", "")
            return f"Use {expected}." if expected else "Leave this empty."
        case "greater_than_equal":
            return f"Use a number of at least {_number(context['ge'])}."
        case "greater_than":
            return f"Use a number above {_number(context['gt'])}."
        case "less_than_equal":
            return f"Use a number of at most {_number(context['le'])}."
        case "less_than":
            return f"Use a number below {_number(context['lt'])}."
        case "string_too_short":
            return f"Use at least {_count(context['min_length'], 'character')}."
        case "string_too_long":
            return f"Use at most {_count(context['max_length'], 'character')}."
        case "too_short":
            return f"Use at least {_count(context['min_length'], 'entry', 'entries')}."
        case "too_long":
            return f"Use at most {_count(context['max_length'], 'entry', 'entries')}."
    return MESSAGES.get(kind, INVALID)


def _number(limit: float) -> str:
    return f"{int(limit) if limit == int(limit) else limit:,}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
