"""Staged rows of imports: copied as the file has them, and copied again as candidates once they are validated."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.codes import store as codes
from shared.codes.rules import CodeDefinition, warning_sentences
from shared.imports.csv_reader import CsvRow
from shared.imports.rules import RowResult
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339

COPY_SIZE = 10_000
"""Rows of one COPY. A longer one looks like a stalled transaction, which the relay terminates."""


def copy_rows(conn: Conn, import_id: UUID, rows: Iterable[CsvRow]) -> int:
    """Copy the rows of a file while they are read. Return how many there were."""
    total, rows = 0, iter(rows)
    while (copied := _copy_rows(conn, import_id, islice(rows, COPY_SIZE))) == COPY_SIZE:
        total += copied
    return total + copied


def _copy_rows(conn: Conn, import_id: UUID, rows: Iterable[CsvRow]) -> int:
    copied = 0
    # The binary format takes a third of the time of text.
    statement = "COPY import_rows (import_id, line, cells) FROM STDIN (FORMAT binary)"
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["uuid", "int4", "text[]"])
        for row in rows:
            copy.write_row((import_id, row.line, list(row.cells)))
            copied += 1
    return copied


def next_rows(conn: Conn, import_id: UUID, *, after: int, limit: int) -> list[CsvRow]:
    """Return the next rows after a line, in order."""
    with conn.cursor(row_factory=class_row(CsvRow)) as cursor:
        return cursor.execute(
            """
            SELECT line, cells FROM import_rows WHERE import_id = %(id)s AND line > %(after)s
            ORDER BY line LIMIT %(limit)s
            """,
            {"id": import_id, "after": after, "limit": limit},
        ).fetchall()


def copy_candidates(conn: Conn, import_id: UUID, results: Iterable[RowResult]) -> None:
    """Copy the results of validated rows: candidates and failures."""
    statement = """
        COPY import_candidates (
            import_id, line, id, code, destination_code, definition, encounter, field, message, warnings, is_generated
        ) FROM STDIN
    """
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for result in results:
            columns = _candidate_columns(result.definition)
            warnings = warning_sentences(result.definition) if result.definition else []
            error = (result.field, result.message)
            copy.write_row((import_id, result.line, result.id, *columns, *error, warnings, result.is_generated))


def _candidate_columns(code: CodeDefinition | None) -> tuple[str | None, ...]:
    if code is None:
        return (None, None, None, None)
    encounter = None
    if code.encounter is not None:
        encounter = _to_json({name: value for name, value in vars(code.encounter).items() if name != "id"})
    return (code.code, code.destination_code, _to_json(codes.to_columns(code)), encounter)


def analyze(conn: Conn) -> None:
    """Update the planner's statistics of candidates: without, it joins a hundred thousand rows as if they were one.

    Call it outside of a transaction: until that ended, no other ANALYZE could run.
    """
    conn.execute("ANALYZE import_candidates")


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=format_rfc3339)
