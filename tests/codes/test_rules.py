"""Contradictions in the definition of a code."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.codes.rules import CodeDefinition, CodeReward, EncounterDefinition, find_errors, warning_sentences

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


GEM = CodeReward("gem", 1)
PUZZLE = EncounterDefinition("pattern", 1, solution="12")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (definition(), "Set a reward."),
        (definition(reward=GEM), None),
        (definition(scan_type="encounter"), "Set an encounter."),
        (definition(scan_type="encounter", reward=GEM), "Set an encounter."),
        (definition(scan_type="encounter", reward=GEM, encounter=EncounterDefinition("pattern", 1)), "Set a solution."),
        (definition(scan_type="encounter", encounter=PUZZLE), "Set a reward."),
        (definition(scan_type="encounter", encounter=PUZZLE, reward=GEM), None),
        (definition(scan_type="transportation"), "Set a destination_code."),
        (definition(scan_type="transportation", destination_code="spy124"), None),
        (definition(scan_type=None, target_url="https://example.com"), None),
    ],
)
def test_code_that_gives_nothing_has_a_warning(code: CodeDefinition, words: str | None) -> None:
    warnings = warning_sentences(code)

    assert [warning.endswith(words or "") for warning in warnings] == [True] * (words is not None)
