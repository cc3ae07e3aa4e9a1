"""The columns of a CSV file, and how cells become fields and fields cells. Pure."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.codes.rules import CodeDefinition
from shared.errors import Invalid
from shared.infra import strict_json
from shared.infra.blanks import trim
from shared.infra.timestamps import format_rfc3339

NULL = "null"
"""The cell of a field without a limit, in a column where an empty cell means the default."""
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,399})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
"""A number of RFC 8259, section 6, of limited length."""
FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Text that a spreadsheet computes, perhaps after it removes a quote."""


class InvalidCell(Exception):
    """A cell has a value that its column does not accept."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column, self.message = column, message


def escape_formula(text: str) -> str:
    """Return the text with a quote before it if a spreadsheet would compute it as a formula."""
    return "'" + text if FORMULA.match(text) else text


def unescape_formula(cell: str) -> str:
    """Return the text without the quote of `escape_formula`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _word(cell: str) -> str:
    return trim(unescape_formula(trim(cell)))


def _flag(cell: str) -> Any:
    # Spreadsheets write TRUE.
    return {"true": True, "false": False}.get(trim(cell).lower(), cell)


def _number(cell: str) -> Any:
    cell = trim(cell)
    if not NUMBER.fullmatch(cell):
        return cell
    number = float(cell) if re.search(r"[.eE]", cell) else int(cell)
    return cell if number in (float("inf"), float("-inf")) else number


def _limit(cell: str) -> Any:
    return None if trim(cell).lower() == NULL else _number(cell)


def _tags(cell: str) -> Any:
    return unescape_formula(cell).split("|")


def _data(cell: str) -> Any:
    try:
        # As deep as in the body of a request.
        return strict_json.loads(unescape_formula(cell), "", depth=2)
    except Invalid as invalid:
        raise InvalidCell("encounter_data", invalid.field_errors[0].message) from None


READERS: Mapping[str, Callable[[str], Any]] = {
    "code": _word,
    "description": unescape_formula,
    "scan_type": _word,
    "requires_location": _flag,
    "latitude": _number,
    "longitude": _number,
    "radius_m": _number,
    "reward_item": unescape_formula,
    "reward_quantity": _number,
    "encounter_puzzle_type": _word,
    "encounter_difficulty_level": _number,
    "encounter_data": _data,
    "encounter_solution": unescape_formula,
    "encounter_max_attempts": _number,
    "destination_code": _word,
    "target_url": _word,
    "active": _flag,
    "starts_at": trim,
    "expires_at": trim,
    "max_scans": _number,
    "per_player_limit": _limit,
    "cooldown_seconds": _number,
    "offline_hours": _number,
    "answer_within_hours": _number,
    "rotating": _flag,
    "rotation_seconds": _number,
    "tags": _tags,
}
"""The function that reads each column. A cell that it cannot read stays text, which the rule of the field rejects."""
COLUMNS = tuple(READERS)
TEXT_COLUMNS = frozenset(column for column, reader in READERS.items() if reader in (unescape_formula, _tags))
"""Columns in which a cell of blanks is not empty."""
SOLUTION = "encounter_solution"
NESTED_FIELDS = ("reward", "encounter")
"""Fields with several columns, named after the field and its part."""


def read(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """Return a row as the body of a request. An empty cell sets no field. Raise InvalidCell."""
    body: dict[str, Any] = {"scan_type": None}
    for column, cell in zip(columns, cells, strict=True):
        if not (cell if column in TEXT_COLUMNS else trim(cell)):
            continue
        value = READERS[column](cell)
        part, _, name = column.partition("_")
        if part in NESTED_FIELDS:
            body.setdefault(part, {})[name] = value
        else:
            body[column] = value
    return body


def column_for(loc: Sequence[str | int]) -> str:
    """Return the column of a field of the body."""
    return f"{loc[0]}_{loc[1]}" if loc[0] in NESTED_FIELDS and len(loc) > 1 else str(loc[0])


def write(code: CodeDefinition) -> dict[str, str]:
    """Return a code as cells, by column. Formulas in text are escaped; a negative number is not a formula."""
    values: dict[str, Any] = {name: value for name, value in vars(code).items() if name in READERS}
    if code.reward is not None:
        values |= {"reward_item": code.reward.item, "reward_quantity": code.reward.quantity}
    if code.encounter is not None:
        values |= {f"encounter_{name}": value for name, value in vars(code.encounter).items() if name != "id"}
        values["encounter_data"] = json.dumps(code.encounter.data, ensure_ascii=False) if code.encounter.data else None
    values |= {
        "tags": "|".join(code.tags),
        "starts_at": code.starts_at and format_rfc3339(code.starts_at),
        "expires_at": code.expires_at and format_rfc3339(code.expires_at),
    }
    if code.per_player_limit is None:
        values["per_player_limit"] = NULL
    return {column: format_cell(values.get(column)) for column in COLUMNS}


def format_cell(value: Any) -> str:
    """Return a JSON value other than a list or an object as a cell. A formula in text is escaped; null is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape_formula(value) if isinstance(value, str) else repr(value)
