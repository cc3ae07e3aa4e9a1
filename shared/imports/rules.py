"""Validation of rows, alone and among the rows that lead to each other. Pure, except for new ids."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from shared.validation_messages import errors_of

MAX_SYNCHRONOUS_ROWS = 1_000
"""Rows that the request itself adds. Workers add larger files."""
MAX_OPEN_IMPORTS = 30
"""Of one organization. The rows of an open import stay in PostgreSQL until workers have added them."""
MAX_OUTCOMES = 1_000
"""Rows that a response lists."""

ImportStatus = Literal["queued", "running", "done", "checked", "failed"]
RowStatus = Literal["added", "valid", "failed", "not_added"]
FinalStatus = Literal["done", "checked", "failed"]
STATUS_OF_VALID_ROW: Mapping[FinalStatus, RowStatus] = {"done": "added", "checked": "valid", "failed": "not_added"}
"""By the status of the import."""


@dataclass(frozen=True)
class ImportJob:
    """An import. `total`, `validated_rows`, `done` and `failed` count rows: all, validated, added and invalid ones."""

    id: UUID
    org_id: UUID
    partial: bool
    dry_run: bool
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
        return self.status in STATUS_OF_VALID_ROW

    @property
    def progress(self) -> float:
        """Return 0.0 to 1.0. Validating all rows is one half, adding them the other."""
        if self.status in ("done", "checked"):
            return 1.0
        return (self.validated_rows + self.done) / (2 * self.total) if self.total else 0.0


@dataclass(frozen=True)
class RowResult:
    """The result of validating a row alone: the code to add, or the invalid field and the reason."""

    line: int
    id: UUID
    definition: CodeDefinition | None = None
    field: str | None = None
    message: str | None = None
    is_generated: bool = False
    """True if the code text was generated."""


def validate_row(columns: Sequence[str], row: CsvRow, generate_text: Callable[[], str]) -> RowResult:
    """Validate a row of a file by the rules of a single code. A row without a code text gets a generated one."""
    if len(row.cells) != len(columns):
        difference = "more" if len(row.cells) > len(columns) else "fewer"
        return RowResult(
            row.line, uuid7(), message=f"Use {len(columns)} cells, as in the header. This row has {difference}."
        )
    try:
        body = csv_cells.read(columns, row.cells)
    except InvalidCell as error:
        return RowResult(row.line, uuid7(), field=error.column, message=error.message)
    result = validate_code(row.line, body, generate_text)
    if result.field is None:
        return result
    return replace(result, field=csv_cells.column_for(result.field.split(".")))


def validate_code(line: int, body: Mapping[str, Any], generate_text: Callable[[], str]) -> RowResult:
    """Validate a code of a list by the rules of a single one. An invalid field is named as in its body."""
    qr_id = uuid7()
    try:
        model = CodeBody.model_validate(body)
    except ValidationError as error:
        parts, message = next(errors_of(error))
        return RowResult(line, qr_id, field=".".join(map(str, parts))[:200], message=message)
    code = CodeDefinition(**to_definition_fields(dict(model)) | {"code": model.code or generate_text()})
    for field_error in rules.find_errors(code):
        return RowResult(line, qr_id, field=field_error.loc.removeprefix("body."), message=field_error.message)
    return RowResult(line, qr_id, code, is_generated=model.code is None)


def blank_rows(count: int, tags: Sequence[str], generate_text: Callable[[], str]) -> Iterator[RowResult]:
    """Yield inactive codes without a place, to be printed ahead. Placing and activating one lets it be scanned."""
    for line in range(1, count + 1):
        code = CodeDefinition(code=generate_text(), scan_type="item_drop", active=False, tags=tuple(tags))
        yield RowResult(line, uuid7(), code, is_generated=True)


def unresolved_destinations(
    transports: Iterable[tuple[int, str, str]], known: Iterable[str], copies: Mapping[str, int]
) -> set[int]:
    """Return the lines of rows whose destination will not exist: it is not known, or all rows that create it are
    unresolved themselves. A cycle is resolved, because each of its codes will exist.

    `transports` are `(line, code, destination)`. `copies` counts the rows of each code that several rows create.
    """
    known = set(known)
    rows_to: dict[str, list[tuple[int, str]]] = {}
    queue = []
    for line, code, destination in transports:
        rows_to.setdefault(destination, []).append((line, code))
        if destination not in known:
            queue.append((line, code))
    remaining = dict(copies)
    unresolved: set[int] = set()
    while queue:
        line, code = queue.pop()
        if line in unresolved:
            continue
        unresolved.add(line)
        remaining[code] = remaining.get(code, 1) - 1
        if not remaining[code]:
            queue += rows_to.get(code, ())
    return unresolved
