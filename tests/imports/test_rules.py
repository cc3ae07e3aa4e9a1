"""How rows are validated, and which destinations are unresolved."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codes.store import generate_code_text
from shared.imports.csv_reader import CsvRow
from shared.imports.rules import unresolved_destinations, validate_code, validate_row

PUZZLE = {"encounter_puzzle_type": "pattern", "encounter_difficulty_level": "1"}


def validate(**row: str) -> tuple[str | None, str | None]:
    result = validate_row(tuple(row), CsvRow(7, tuple(row.values())), generate_code_text)
    assert result.line == 7
    assert (result.definition is None) is (result.message is not None)
    return result.field, result.message


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"scan_type": "item_drop"}, None),
        ({"scan_type": "", "target_url": "https://example.com"}, None),
        ({"scan_type": ""}, "target_url"),
        ({"scan_type": "chess"}, "scan_type"),
        ({"code": "a b"}, "code"),
        ({"latitude": "91", "longitude": "0"}, "latitude"),
        ({"latitude": "north", "longitude": "0"}, "latitude"),
        ({"latitude": "1"}, "longitude"),
        ({"requires_location": "true"}, "requires_location"),
        ({"reward_item": "gem"}, "reward_quantity"),
        ({"reward_quantity": "1"}, "reward_item"),
        ({"reward_item": "gem", "reward_quantity": "0"}, "reward_quantity"),
        ({"encounter_solution": "x"}, "encounter_puzzle_type"),
        (PUZZLE | {"encounter_difficulty_level": "11"}, "encounter_difficulty_level"),
        ({"encounter_data": "[1]"}, "encounter_puzzle_type"),
        (
            {"encounter_puzzle_type": "pattern", "encounter_difficulty_level": "1", "encounter_data": "[1]"},
            "encounter_data",
        ),
        ({"encounter_data": "{"}, "encounter_data"),
        ({"tags": "a||b"}, "tags"),
        ({"tags": "a|" + "b" * 65}, "tags"),
        ({"tags": "|".join("abcdefghij") * 9}, "tags"),
        ({"starts_at": "2026-02-12"}, "starts_at"),
        ({"starts_at": "2026-02-12T10:00:00Z", "expires_at": "2026-02-12T10:00:00Z"}, "expires_at"),
        ({"code": "abc", "destination_code": "abc"}, "destination_code"),
        ({"target_url": "javascript:alert(1)"}, "target_url"),
        ({"description": "a" * 2_001}, "description"),
        ({"max_scans": "many"}, "max_scans"),
        ({"active": "perhaps"}, "active"),
    ],
    ids=str,
)
def test_a_row_follows_the_rules_of_a_single_code(row: dict[str, str], field: str | None) -> None:
    invalid_field, message = validate(**{"scan_type": "item_drop"} | row)

    assert invalid_field == field
    assert (message is None) is (field is None)


@pytest.mark.parametrize(("cells", "words"), [(("x",), "fewer"), (("x", "", ""), "more")])
def test_a_row_needs_the_cells_of_the_header(cells: tuple[str, ...], words: str) -> None:
    result = validate_row(("scan_type", "code"), CsvRow(2, cells), generate_code_text)

    assert result.field is None
    assert result.message == f"Use 2 cells, as in the header. This row has {words}."


def test_a_code_of_a_list_names_the_fields_of_its_body() -> None:
    assert (
        validate_code(1, {"scan_type": "item_drop", "reward": {"item": "gem"}}, generate_code_text).field
        == "reward.quantity"
    )
    assert validate_code(1, {"scan_type": "item_drop", "tags": ["a", ""]}, generate_code_text).field == "tags.1"
    assert validate_code(1, {"scan_type": "item_drop", "id": 1}, generate_code_text).field == "id"
    assert validate_code(1, {}, generate_code_text).field == "scan_type"


@pytest.mark.parametrize(
    ("transports", "known", "unresolved"),
    [
        ([], [], set()),
        ([("a", "b")], ["b"], set()),
        ([("a", "b")], [], {0}),
        ([("a", "b"), ("b", "c"), ("c", "d")], ["b", "c"], {0, 1, 2}),
        ([("a", "b"), ("b", "a")], ["a", "b"], set()),
        ([("a", "b"), ("c", "b"), ("b", "x"), ("e", "f")], ["b", "f"], {0, 1, 2}),
        ([("a", "x"), ("b", "a")], ["a"], {0, 1}),
        ([("a", "x"), ("b", "a"), ("a", "b")], ["a", "b"], {0}),
        ([("a", "x"), ("b", "a"), ("a", "y")], ["a", "b"], {0, 1, 2}),
    ],
)
def test_unresolved_destinations(transports: list[Any], known: list[str], unresolved: set[int]) -> None:
    assert unresolved_rows(transports, known) == unresolved


def unresolved_rows(pairs: list[tuple[str, str]], known: Iterable[str]) -> set[int]:
    """Return the indexes of unresolved rows."""
    rows = [(line, code, to) for line, (code, to) in enumerate(pairs)]
    return unresolved_destinations(
        rows, known, {code: n for code, n in Counter(code for code, _ in pairs).items() if n > 1}
    )


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefghijk"))))
def test_unresolved_destinations_are_a_fixed_point(pairs: list[tuple[str, str]]) -> None:
    """Compare with the definition: remove rows whose destination no row creates, until none is left."""
    there = dict(enumerate(pairs))
    while falling := {line for line, (_, to) in there.items() if to not in {code for code, _ in there.values()}}:
        for line in falling:
            del there[line]

    assert unresolved_rows(pairs, {code for code, _ in pairs}) == set(range(len(pairs))) - set(there)


def test_a_long_chain_is_unresolved_without_recursion() -> None:
    chain = [(str(n), str(n + 1)) for n in range(100_000)]

    assert len(unresolved_rows(chain, {code for code, _ in chain})) == 100_000
