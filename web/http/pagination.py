"""Keyset pagination: a cursor is the key of the last item of a page, so each page costs the same at any depth."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from pydantic import Field

from shared.errors import FieldError, Invalid
from shared.infra import strict_json
from web.http.schemas import Query

Item = TypeVar("Item")


class PageQuery(Query):
    """The page of a list: the maximum number of items, and the cursor of the page before."""

    limit: int = Field(50, ge=1, le=200, description="Maximum number of items", examples=[50])
    cursor: str | None = Field(
        None, max_length=500, description="`next_cursor` of the previous page", examples=["WyIwMTk3YTZiMCJd"]
    )


class InvalidCursor(Invalid):
    """This cursor is not valid. Pass the next_cursor of an earlier response."""

    def __init__(self) -> None:
        super().__init__(FieldError("query.cursor", "Use the next_cursor of an earlier response."))


def encode_cursor(*parts: str) -> str:
    """Return the parts of a key as one opaque string that needs no escaping in a URL."""
    return urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(text: str, n: int) -> tuple[str, ...]:
    """Return the `n` parts of a cursor, which PostgreSQL can read as text. The caller validates their values.

    Raise InvalidCursor.
    """
    try:
        parts = json.loads(b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        strict_json.check_values(parts, "query.cursor")
    except (ValueError, RecursionError, Invalid):
        raise InvalidCursor from None
    if not isinstance(parts, list) or len(parts) != n or not all(isinstance(part, str) for part in parts):
        raise InvalidCursor
    return tuple(parts)


def decode_id(cursor: str | None) -> UUID | None:
    """Return the id in a cursor of one id, or None for the first page. Raise InvalidCursor."""
    if cursor is None:
        return None
    (text,) = decode_cursor(cursor, 1)
    try:
        return UUID(text)
    except ValueError:
        raise InvalidCursor from None


def paginate(
    items: Sequence[Item], limit: int, key: Callable[[Item], tuple[str, ...]]
) -> tuple[Sequence[Item], str | None]:
    """Split `limit` + 1 fetched items into a page of `limit` and the cursor of the next page, None at the end."""
    page = items[:limit]
    return page, encode_cursor(*key(page[-1])) if len(items) > limit else None
