"""Codes become cells and cells codes, without loss and without formulas."""

import csv
from io import BytesIO, StringIO
from typing import Any

import pytest
from hypothesis import given, settings

from shared.codes.rules import CodeDefinition
from shared.codes.store import generate_code_text
from shared.imports import csv_cells, rules
from shared.imports.csv_cells import escape_formula, unescape_formula
from shared.imports.csv_reader import open_csv
from tests.imports.sample_codes import BODIES, TEXT


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+31 20", "'+31 20"),
        ("-spy", "'-spy"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("'=1", "''=1"),
        ("''=1", "'''=1"),
        ("'quoted'", "'quoted'"),
        ("'", "'"),
        ("", ""),
        ("a=1", "a=1"),
        (" =1", " =1"),
    ],
)
def test_formulas_are_escaped_and_unescaped(text: str, cell: str) -> None:
    assert escape_formula(text) == cell
    assert unescape_formula(cell) == text


@given(TEXT)
def test_any_text_survives_a_round_trip(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
    assert escape_formula(text)[:1] not in ("=", "+", "-", "@", "\t", "\r") or not text


def test_the_quote_before_a_formula_is_removed() -> None:
    assert unescape_formula("'=1+1") == "=1+1"
    assert unescape_formula("'hello") == "'hello"


def read(**row: str) -> dict[str, Any]:
    return csv_cells.read(tuple(row), tuple(row.values()))


@pytest.mark.parametrize(
    ("row", "body"),
    [
        ({"scan_type": "item_drop"}, {"scan_type": "item_drop"}),
        ({"scan_type": ""}, {"scan_type": None}),
        ({"description": ""}, {}),
        ({"description": " "}, {"description": " "}),
        ({"latitude": " "}, {}),
        ({"latitude": "-4.5"}, {"latitude": -4.5}),
        ({"latitude": " 52.37 "}, {"latitude": 52.37}),
        ({"latitude": "52,37"}, {"latitude": "52,37"}),
        ({"latitude": "nan"}, {"latitude": "nan"}),
        ({"latitude": "1e999"}, {"latitude": "1e999"}),
        ({"latitude": "'-4.5"}, {"latitude": "'-4.5"}),
        ({"radius_m": "9" * 401}, {"radius_m": "9" * 401}),
        ({"max_scans": "1000000000000"}, {"max_scans": 10**12}),
        ({"max_scans": "5.0"}, {"max_scans": 5.0}),
        ({"max_scans": "007"}, {"max_scans": "007"}),
        ({"max_scans": "\u0665"}, {"max_scans": "\u0665"}),
        ({"active": "FALSE"}, {"active": False}),
        ({"active": "no"}, {"active": "no"}),
        ({"per_player_limit": ""}, {}),
        ({"per_player_limit": "null"}, {"per_player_limit": None}),
        ({"per_player_limit": "3"}, {"per_player_limit": 3}),
        ({"cooldown_seconds": "null"}, {"cooldown_seconds": "null"}),
        ({"tags": "east|'=x|a b"}, {"tags": ["east", "'=x", "a b"]}),
        ({"tags": "'=east|b"}, {"tags": ["=east", "b"]}),
        ({"reward_item": "gem", "reward_quantity": "2"}, {"reward": {"item": "gem", "quantity": 2}}),
        ({"reward_item": "", "reward_quantity": "2"}, {"reward": {"quantity": 2}}),
        ({"reward_item": "", "reward_quantity": ""}, {}),
        ({"encounter_puzzle_type": "pattern"}, {"encounter": {"puzzle_type": "pattern"}}),
        ({"encounter_data": '{"a": [1]}'}, {"encounter": {"data": {"a": [1]}}}),
        ({"requires_location": "true"}, {"requires_location": True}),
    ],
    ids=str,
)
def test_cells_become_fields(row: dict[str, str], body: dict[str, Any]) -> None:
    assert read(**row) == {"scan_type": None} | body


@pytest.mark.parametrize("data", ["{", "{'a': 1}", "NaN", '{"a": NaN}', "[" * 90 + "]" * 90, '{"a": "\\u0000"}'])
def test_invalid_json_is_rejected(data: str) -> None:
    with pytest.raises(csv_cells.InvalidCell) as rejected:
        read(encounter_data=data)
    assert rejected.value.column == "encounter_data"


@settings(max_examples=3 * settings().max_examples)
@given(BODIES)
def test_written_rows_are_read_unchanged(body: dict[str, Any]) -> None:
    code = rules.validate_code(1, body, generate_code_text).definition
    assert code is not None, body

    again = through_a_file(code)

    assert again.message is None
    assert again.definition == code


def through_a_file(code: CodeDefinition) -> rules.RowResult:
    text = StringIO()
    sheet = csv.DictWriter(text, csv_cells.COLUMNS)
    sheet.writeheader()
    sheet.writerow(csv_cells.write(code))
    table = open_csv(BytesIO(text.getvalue().encode()))
    (row,) = table.rows
    return rules.validate_row(table.columns, row, generate_code_text)


def test_negative_numbers_are_not_escaped() -> None:
    code = CodeDefinition(code="-spy", scan_type=None, latitude=-4.5, longitude=-0.1, description="=HYPERLINK()")

    written = csv_cells.write(code)

    assert (written["latitude"], written["longitude"]) == ("-4.5", "-0.1")
    assert (written["code"], written["description"]) == ("'-spy", "'=HYPERLINK()")
