"""Keyset pages: a cursor is the key of the last item shown, so a page costs the same however far in it lies."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from pydantic import Field

from shared.errors import FieldError, Invalid
from web.http.schemas import Query

Item = TypeVar("Item")


class PageQuery(Query):
    """Which page of a list: how many items at most, and what they come after."""

    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before")


class InvalidCursor(Invalid):
    """This cursor never came from us."""

    def __init__(self) -> None:
        super().__init__(FieldError("query.cursor", "must be the next_cursor of an earlier answer"))


def encode_cursor(*parts: str) -> str:
    """The parts of a key as one opaque string that needs no escaping in a URL."""
    return urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(text: str, n: int) -> tuple[str, ...]:
    """The `n` parts that `encode_cursor` was given; what they mean is for the caller to check. Raises BadCursor."""
    try:
        parts = json.loads(b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise InvalidCursor from None
    if not isinstance(parts, list) or len(parts) != n or not all(isinstance(part, str) for part in parts):
        raise InvalidCursor
    return tuple(parts)


def decode_id(cursor: str | None) -> UUID | None:
    """The id inside a cursor made of one; None for the first page. Raises BadCursor."""
    if cursor is None:
        return None
    (text,) = decode_cursor(cursor, 1)
    try:
        return UUID(text)
    except ValueError:
        raise InvalidCursor from None


def paginate(
    found: Sequence[Item], limit: int, key: Callable[[Item], tuple[str, ...]]
) -> tuple[Sequence[Item], str | None]:
    """A page of at most `limit` out of one item more than that, if there was one, and the cursor of what follows."""
    page = found[:limit]
    return page, encode_cursor(*key(page[-1])) if len(found) > limit else None
