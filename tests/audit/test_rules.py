"""What an audit log entry stores of a change."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.audit.rules import MAX_VALUE_CHARACTERS, REDACTED, diff, dumps, redact


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ({"b": 2}, {"b": 3})),
        ({"a": 1}, {"a": 1}, ({}, {})),
        ({}, {"a": 1}, ({"a": None}, {"a": 1})),
        ({"a": [1]}, {"a": None}, ({"a": [1]}, {"a": None})),
        ({"a": 1, "b": 2}, {"b": 2}, ({"a": 1}, {"a": None})),
    ],
)
def test_diff_returns_the_fields_that_differ(old: dict[str, Any], new: dict[str, Any], expected: Any) -> None:
    assert diff(old, new) == expected


def test_diff_redacts_secrets() -> None:
    assert diff({"solution": "a", "b": 1}, {"solution": "b", "b": 1}, {"solution"}) == (
        {"solution": REDACTED},
        {"solution": REDACTED},
    )
    assert diff({"solution": "a"}, {"solution": "a"}, {"solution"}) == ({}, {})
    assert diff({}, {"solution": "a"}, {"solution"}) == ({"solution": None}, {"solution": REDACTED})


def test_a_long_value_becomes_its_size_and_digest() -> None:
    long = "x" * MAX_VALUE_CHARACTERS

    stored = redact({"data": long, "more": "short"})

    assert stored["data"]["bytes"] == len(long) + 2
    assert len(stored["data"]["sha256"]) == 64
    assert stored["more"] == "short"


def test_times_have_the_wire_format() -> None:
    assert json.loads(dumps({"at": datetime(2026, 2, 12, 10, tzinfo=UTC)})) == {"at": "2026-02-12T10:00:00Z"}
