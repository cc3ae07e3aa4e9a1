"""Contradictions in the definition of a code."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.codes.rules import CodeDefinition, find_errors

NOON = datetime(2026, 2, 12, 12, tzinfo=UTC)


def definition(**fields: Any) -> CodeDefinition:
    return CodeDefinition(**{"code": "spy123", "scan_type": "item_drop"} | fields)


@pytest.mark.parametrize(
    ("code", "locs"),
    [
        (definition(), []),
        (definition(latitude=52.37, longitude=4.9), []),
        (definition(latitude=0.0, longitude=0.0, requires_location=True), []),
        (definition(latitude=52.37), ["body.longitude"]),
        (definition(longitude=4.9), ["body.latitude"]),
        (definition(requires_location=True), ["body.requires_location"]),
        (definition(requires_location=True, latitude=0.0), ["body.longitude"]),
        (definition(scan_type=None), ["body.target_url"]),
        (definition(scan_type=None, target_url="https://example.com"), []),
        (definition(target_url="https://example.com"), []),
        (definition(starts_at=NOON), []),
        (definition(expires_at=NOON), []),
        (definition(starts_at=NOON, expires_at=NOON + timedelta(seconds=1)), []),
        (definition(starts_at=NOON, expires_at=NOON), ["body.expires_at"]),
        (definition(starts_at=NOON, expires_at=NOON - timedelta(days=1)), ["body.expires_at"]),
        (definition(scan_type="transportation", destination_code="spy124"), []),
        (definition(scan_type="transportation", destination_code="spy123"), ["body.destination_code"]),
        (definition(scan_type=None, longitude=4.9), ["body.latitude", "body.target_url"]),
    ],
)
def test_find_errors(code: CodeDefinition, locs: list[str]) -> None:
    assert [error.loc for error in find_errors(code)] == locs
