from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.http.pagination import InvalidCursor, decode_cursor, decode_id, encode_cursor, paginate

PARTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=1, max_size=3)


@given(PARTS)
def test_cursor_round_trip_returns_its_parts(parts: list[str]) -> None:
    assert decode_cursor(encode_cursor(*parts), len(parts)) == tuple(parts)


@given(PARTS)
def test_cursor_needs_no_escaping_in_a_url(parts: list[str]) -> None:
    assert encode_cursor(*parts).replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_malformed_cursor_is_named(text: str) -> None:
    with pytest.raises(InvalidCursor) as refused:
        decode_cursor(text, 2)
    assert refused.value.field_errors[0].loc == "query.cursor"


@pytest.mark.parametrize(
    "text",
    [
        encode_cursor("a"),
        encode_cursor("a", "b", "c"),
        encode_cursor("a", "\x00"),
        encode_cursor("a", "\ud800"),
        "bnVsbA",
        "WzEsMl0",
        "W" * 5000,
    ],
)
def test_cursor_with_other_parts_is_invalid(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(text, 2)


def test_cursor_of_one_id_round_trip() -> None:
    place = uuid4()
    assert decode_id(None) is None
    assert decode_id(encode_cursor(str(place))) == place
    with pytest.raises(InvalidCursor):
        decode_id(encode_cursor("no id"))


@given(st.lists(st.uuids(), unique=True, max_size=20), st.integers(1, 7))
def test_pages_have_every_item_once_in_order(items: list[UUID], limit: int) -> None:
    """Read a list page by page, one item more than the limit at a time, as the views do."""
    items.sort()
    seen: list[UUID] = []
    after: UUID | None = None
    while True:
        found = [item for item in items if after is None or item > after][: limit + 1]
        page, cursor = paginate(found, limit, lambda item: (str(item),))
        assert len(page) <= limit
        seen += page
        if cursor is None:
            break
        after = decode_id(cursor)
    assert seen == items
