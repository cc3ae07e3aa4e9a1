"""Codes as rows of text: the columns of a file, and how a cell says what a field is. Pure, and the same both ways."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.codes.rules import CodeDefinition
from shared.errors import Invalid
from shared.infra import strict_json
from shared.infra.timestamps import format_rfc3339

NULL = "null"
"""No limit, in a column where an empty cell means the default."""
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,399})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
"""RFC 8259, 6: a number, as long as anyone could mean it."""
FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""What a spreadsheet would compute, or would once a quote is taken off it."""


class InvalidCell(Exception):
    """A cell that says nothing its column knows."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column, self.message = column, message


def escape_formula(text: str) -> str:
    """The text, kept from being a formula by a quote before it."""
    return "'" + text if FORMULA.match(text) else text


def unescape_formula(cell: str) -> str:
    """The text without the quote that `guarded` put before it."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _flag(cell: str) -> Any:
    return {"true": True, "false": False}.get(cell.strip().lower(), cell)  # spreadsheets write TRUE


def _number(cell: str) -> Any:
    cell = cell.strip()
    if not NUMBER.fullmatch(cell):
        return cell
    number = float(cell) if re.search(r"[.eE]", cell) else int(cell)
    return cell if number in (float("inf"), float("-inf")) else number


def _limit(cell: str) -> Any:
    return None if cell.strip().lower() == NULL else _number(cell)


def _tags(cell: str) -> Any:
    return unescape_formula(cell).split("|")


def _data(cell: str) -> Any:
    try:
        return strict_json.loads(unescape_formula(cell), "", depth=2)  # as deep as it stands in the body of a request
    except Invalid as invalid:
        raise InvalidCell("encounter_data", invalid.field_errors[0].message) from None


READERS: Mapping[str, Callable[[str], Any]] = {
    "code": unescape_formula,
    "description": unescape_formula,
    "scan_type": unescape_formula,
    "requires_location": _flag,
    "latitude": _number,
    "longitude": _number,
    "radius_m": _number,
    "reward_item": unescape_formula,
    "reward_quantity": _number,
    "encounter_puzzle_type": unescape_formula,
    "encounter_difficulty_level": _number,
    "encounter_data": _data,
    "encounter_solution": unescape_formula,
    "encounter_max_attempts": _number,
    "destination_code": unescape_formula,
    "target_url": unescape_formula,
    "active": _flag,
    "starts_at": str.strip,
    "expires_at": str.strip,
    "max_scans": _number,
    "per_player_limit": _limit,
    "cooldown_seconds": _number,
    "rotating": _flag,
    "tags": _tags,
}
"""How each column is read. What is not of its kind stays text, and the field's own rule refuses it."""
COLUMNS = tuple(READERS)
TEXT_COLUMNS = frozenset(column for column, reader in READERS.items() if reader in (unescape_formula, _tags))
"""Where a blank is a blank."""
SOLUTION = "encounter_solution"
NESTED_FIELDS = ("reward", "encounter")
"""Fields that take several columns, each named after both."""


def read(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A row as the body of a request: what its cells say. An empty cell says nothing. Raises Illegible."""
    body: dict[str, Any] = {"scan_type": None}
    for column, cell in zip(columns, cells, strict=True):
        if not (cell if column in TEXT_COLUMNS else cell.strip()):
            continue
        value = READERS[column](cell)
        part, _, name = column.partition("_")
        if part in NESTED_FIELDS:
            body.setdefault(part, {})[name] = value
        else:
            body[column] = value
    return body


def column_for(loc: Sequence[str | int]) -> str:
    """The column that a field of the body stands in."""
    return f"{loc[0]}_{loc[1]}" if loc[0] in NESTED_FIELDS and len(loc) > 1 else str(loc[0])


def write(code: CodeDefinition) -> dict[str, str]:
    """A code as cells, by column. Text is kept from being a formula; a number is none, though it begin with a minus."""
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
    return {column: _format(values.get(column)) for column in COLUMNS}


def _format(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape_formula(value) if isinstance(value, str) else repr(value)
