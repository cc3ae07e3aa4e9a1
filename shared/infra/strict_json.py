"""JSON as in RFC 8259: no NaN or Infinity, and text that PostgreSQL can store (no NUL, no lone surrogates)."""

import json
from typing import Any, NoReturn, TypeAlias

from shared.errors import FieldError, Invalid

MAX_DEPTH = 64
"""Nesting of objects and arrays. Every tool in use can handle more."""
CONTAINER_TYPES = (str, dict, list)
"""Types of values that must be checked. Numbers, true, false and null need no check."""
JsonPath: TypeAlias = "tuple[str | int, JsonPath | None]"
"""The name or index of a member, and the path of its container."""


def loads(
    source: str | bytes, loc: str = "body", *, depth: int = 0, unchecked: str | None = None, **kwargs: Any
) -> Any:
    """Return the value. Raise Invalid with `loc` or the path in it. `depth` is the depth of the text itself.

    `unchecked` names a member whose value the caller passes to `check_values`.
    """
    try:
        text = source.decode("utf-8") if isinstance(source, bytes) else source
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, **kwargs)
    except UnicodeDecodeError:
        raise Invalid(FieldError(loc, "Use UTF-8.")) from None
    except RecursionError:
        raise Invalid(
            FieldError(loc, f"This is nested too deeply. Use at most {MAX_DEPTH} levels of objects and arrays.")
        ) from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise Invalid(FieldError(loc, f"This is not JSON. The error is at character {error.pos}.")) from None
        raise Invalid(FieldError(loc, str(error))) from None
    checked = value
    if unchecked is not None and isinstance(value, dict):
        checked = {name: inner for name, inner in value.items() if name != unchecked}
    check_values(checked, loc, depth)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Use JSON numbers. {name} is not one.")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("Use smaller numbers. One exceeds the range of a 64-bit float.")
    return value


def check_values(value: Any, loc: str, depth: int = 0) -> None:
    """Raise Invalid, with its path, for a value that cannot be stored or written again."""
    # Fast with half a million values: a path is a member and the path of its container, formatted only for an error.
    open_values: list[tuple[Any, JsonPath, int]] = [(value, (loc, None), depth)]
    while open_values:
        value, place, depth = open_values.pop()
        if depth > MAX_DEPTH:
            raise Invalid(
                FieldError(
                    _format_path(place),
                    f"This is nested too deeply. Use at most {MAX_DEPTH} levels of objects and arrays.",
                )
            )
        if isinstance(value, str):
            _check_text(value, place)
        elif isinstance(value, dict):
            for name, inner in value.items():
                _check_text(name, place)
                if depth == MAX_DEPTH or isinstance(inner, CONTAINER_TYPES):
                    open_values.append((inner, (name, place), depth + 1))
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                if depth == MAX_DEPTH or isinstance(inner, CONTAINER_TYPES):
                    open_values.append((inner, (number, place), depth + 1))


def _check_text(text: str, place: JsonPath) -> None:
    if "\x00" in text:
        raise Invalid(FieldError(_format_path(place), "Remove the NUL character."))
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(FieldError(_format_path(place), "Remove lone surrogates, which UTF-8 cannot encode."))


def _format_path(place: "JsonPath | None") -> str:
    members: list[str] = []
    while place is not None:
        member, place = place
        members.append(shown if (shown := str(member)).isprintable() else "…")
    return ".".join(reversed(members))[:200]
