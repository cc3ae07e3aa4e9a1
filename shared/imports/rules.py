"""What becomes of a row by itself, and of rows that lead to each other. Pure, but for the ids that codes are given."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError

from shared.codes import rules
from shared.codes.rules import CodeDefinition
from shared.codes.schemas import CodeBody, to_definition_fields
from shared.imports import csv_cells
from shared.imports.csv_cells import InvalidCell
from shared.imports.csv_reader import CsvRow
from shared.infra.ids import uuid7

MAX_SYNCHRONOUS_ROWS = 1_000
"""Rows that are added while the client waits; more are a worker's."""
MAX_OUTCOMES = 1_000
"""Rows that an answer names."""

ImportStatus = Literal["queued", "running", "done", "failed"]
RowStatus = Literal["added", "failed", "not_added"]


@dataclass(frozen=True)
class ImportJob:
    """Many codes handed in together. `total`, `validated_rows`, `done` and `failed` are rows: all, those looked at,
    those added and those that were wrong."""

    id: UUID
    org_id: UUID
    partial: bool
    columns: Sequence[str]
    status: ImportStatus
    total: int
    validated_rows: int
    last_validated_line: int
    done: int
    failed: int
    message: str | None
    outcomes: Sequence[Mapping[str, Any]]
    attempts: int

    @property
    def is_finished(self) -> bool:
        return self.status in ("done", "failed")

    @property
    def progress(self) -> float:
        """0.0 to 1.0: half of the way is to look at every row, the other half to add them."""
        if self.status == "done":
            return 1.0
        return (self.validated_rows + self.done) / (2 * self.total) if self.total else 0.0


@dataclass(frozen=True)
class RowResult:
    """A row that was looked at by itself: the code to add, or which field is wrong and why."""

    line: int
    id: UUID
    definition: CodeDefinition | None = None
    field: str | None = None
    message: str | None = None


def validate_row(columns: Sequence[str], row: CsvRow, mint: Callable[[], str]) -> RowResult:
    """A row of a file, by the rules of a single code. `mint` makes its code where it names none."""
    if len(row.cells) != len(columns):
        many = "more" if len(row.cells) > len(columns) else "fewer"
        return RowResult(row.line, uuid7(), message=f"has {many} cells than the header, which has {len(columns)}")
    try:
        body = csv_cells.read(columns, row.cells)
    except InvalidCell as illegible:
        return RowResult(row.line, uuid7(), field=illegible.column, message=illegible.message)
    judged = validate_code(row.line, body, mint)
    if judged.field is None:
        return judged
    return RowResult(
        judged.line, judged.id, field=csv_cells.column_for(judged.field.split(".")), message=judged.message
    )


def validate_code(line: int, body: Mapping[str, Any], mint: Callable[[], str]) -> RowResult:
    """A code of a list, by the rules of a single one; the field that is wrong is named as in its body."""
    qr_id = uuid7()
    try:
        read = CodeBody.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        loc = ".".join(str(part) for part in found["loc"])[:200]
        return RowResult(line, qr_id, field=loc, message=found["msg"].removeprefix("Value error, "))
    code = CodeDefinition(**to_definition_fields(dict(read)) | {"code": read.code or mint()})
    for fault in rules.find_errors(code):
        return RowResult(line, qr_id, field=fault.loc.removeprefix("body."), message=fault.message)
    return RowResult(line, qr_id, code)


def unresolved_destinations(
    leads: Iterable[tuple[int, str, str]], known: Iterable[str], copies: Mapping[str, int]
) -> set[int]:
    """Of rows whose codes lead to others, `(line, code, destination)`, those that do not arrive: their destination is
    not known, or is stranded itself, in every row that makes it. Rings arrive: each of their codes will be there.

    `copies` says of codes that several rows make how many do.
    """
    known = set(known)
    leading_to: dict[str, list[tuple[int, str]]] = {}
    falling = []
    for line, code, destination in leads:
        leading_to.setdefault(destination, []).append((line, code))
        if destination not in known:
            falling.append((line, code))
    left = dict(copies)
    found: set[int] = set()
    while falling:
        line, code = falling.pop()
        if line in found:
            continue
        found.add(line)
        left[code] = left.get(code, 1) - 1
        if not left[code]:
            falling += leading_to.get(code, ())
    return found
