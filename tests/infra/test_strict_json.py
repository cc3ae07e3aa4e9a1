"""Rejected JSON is named by its path, and valid JSON needs no path to be formatted."""

import json
from typing import Any

import pytest

from shared.errors import Invalid
from shared.infra import strict_json


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (r'"\u0000"', "body"),
        (r'{"a": {"b": [1, "\u0000"]}}', "body.a.b.1"),
        (r'{"a": {"\ud800": 1}}', "body.a"),
        (r'[{"a\n": "\udfff"}]', "body.0.…"),
        ('{"a": ' + "[" * 64 + "]" * 64 + "}", None),
        ('{"a": ' + "[" * 65 + "]" * 65 + "}", "body.a" + ".0" * 64),
        ('{"a": ' + "[" * 63 + "1" + "]" * 63 + "}", None),
        ('{"a": ' + "[" * 64 + "1" + "]" * 64 + "}", "body.a" + ".0" * 64),
        ('{"' + "a" * 300 + r'": "\u0000"}', ("body." + "a" * 300)[:200]),
        (r'["é", "\u0001", 1e5, null, true]', None),
    ],
)
def test_value_that_cannot_be_stored_is_named(text: str, named: str | None) -> None:
    if named is None:
        assert strict_json.loads(text.encode()) == json.loads(text)
        return
    with pytest.raises(Invalid) as refused:
        strict_json.loads(text.encode())
    assert [fault.loc for fault in refused.value.field_errors] == [named]


def test_paths_are_formatted_only_for_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of 1 MiB can have half a million values, whose paths would take seconds to format."""

    def words(*_: Any) -> str:
        raise AssertionError("formatted without an error")

    monkeypatch.setattr(strict_json, "_format_path", words)
    assert len(strict_json.loads(b"[" + b'{"a":"b"},' * 1_000 + b"0]")) == 1_001
