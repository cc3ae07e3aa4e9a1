"""JSON as RFC 8259 has it: no NaN or Infinity, and text that PostgreSQL can store (no NUL, no lone surrogates)."""

import json
from typing import Any, NoReturn

from shared.errors import Fault, Invalid

MAX_DEPTH = 64
"""Of JSON within JSON: far more than anyone needs, and less than what any of our tools gives up at."""


def loads(source: str | bytes, loc: str = "body", *, depth: int = 0, **kwargs: Any) -> Any:
    """The value. Raises Invalid, which names `loc` or the place in it. `depth` is how deep the text itself stands."""
    try:
        text = source.decode("utf-8") if isinstance(source, bytes) else source
        found = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, **kwargs)
    except UnicodeDecodeError:
        raise Invalid(Fault(loc, "must be UTF-8")) from None
    except RecursionError:
        raise Invalid(Fault(loc, "is nested too deeply")) from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise Invalid(Fault(loc, f"is not JSON: {error.msg} at character {error.pos}")) from None
        raise Invalid(Fault(loc, str(error))) from None
    check_values(found, loc, depth)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("holds a number that is too large")
    return value


def check_values(value: Any, loc: str, depth: int = 0) -> None:
    """Refuse what cannot be stored or written again, naming where it stands."""
    open_values: list[tuple[Any, str, int]] = [(value, loc, depth)]
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
