"""The state of a code, as staff see it in lists."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.codes.rules import CodeDefinition
from shared.codes.states import state_of

NOON = datetime(2026, 2, 12, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("fields", "use_count", "state"),
    [
        ({}, 0, "active"),
        ({"active": False}, 0, "off"),
        ({"starts_at": NOON}, 0, "active"),
        ({"starts_at": NOON + SECOND}, 0, "scheduled"),
        ({"expires_at": NOON + SECOND}, 0, "active"),
        ({"expires_at": NOON}, 0, "expired"),
        ({"max_scans": 3}, 2, "active"),
        ({"max_scans": 3}, 3, "used_up"),
        ({"active": False, "expires_at": NOON, "max_scans": 3}, 3, "off"),
        ({"expires_at": NOON, "max_scans": 3}, 3, "expired"),
    ],
)
def test_state_of(fields: dict[str, Any], use_count: int, state: str) -> None:
    code = CodeDefinition(code="spy123", scan_type="item_drop", **fields)

    assert state_of(code, NOON, use_count=use_count) == state
