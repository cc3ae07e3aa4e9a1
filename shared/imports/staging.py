"""The rows of an import on their way: copied in as the file has them, and again as codes once they are judged."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.codes import store as codes
from shared.imports.csv_reader import CsvRow
from shared.imports.rules import RowResult
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339

PIECE = 10_000


def copy_rows(conn: Conn, import_id: UUID, rows: Iterable[CsvRow]) -> int:
    """COPY a file's rows in while they are read. Returns how many there were.

    Piece by piece: a COPY that takes long looks like a process that fell silent, and those are ended.
    """
    n, rows = 0, iter(rows)
    while (copied := _copy_rows(conn, import_id, islice(rows, PIECE))) == PIECE:
        n += copied
    return n + copied


def _copy_rows(conn: Conn, import_id: UUID, rows: Iterable[CsvRow]) -> int:
    n = 0
    statement = "COPY import_rows (import_id, line, cells) FROM STDIN (FORMAT binary)"  # a third of the work of text
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["uuid", "int4", "text[]"])
        for row in rows:
            copy.write_row((import_id, row.line, list(row.cells)))
            n += 1
    return n


def next_rows(conn: Conn, import_id: UUID, *, after: int, limit: int) -> list[CsvRow]:
    """The next rows behind a line."""
    with conn.cursor(row_factory=class_row(CsvRow)) as cursor:
        return cursor.execute(
            "SELECT line, cells FROM import_rows WHERE import_id = %s AND line > %s ORDER BY line LIMIT %s",
            (import_id, after, limit),
        ).fetchall()


def copy_candidates(conn: Conn, import_id: UUID, judged: Iterable[RowResult]) -> None:
    """COPY in what became of rows."""
    statement = """
        COPY import_candidates (import_id, line, id, code, destination_code, definition, encounter, field, message)
        FROM STDIN
    """
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for one in judged:
            code = one.definition
            if code is None:
                told: tuple[str | None, ...] = (None, None, None, None)
            else:
                encounter = None
                if code.encounter is not None:
                    encounter = _json({name: value for name, value in vars(code.encounter).items() if name != "id"})
                told = (code.code, code.destination_code, _json(codes.to_columns(code)), encounter)
            copy.write_row((import_id, one.line, one.id, *told, one.field, one.message))


def analyze(conn: Conn) -> None:
    """Let the planner know what was copied in: it would join a hundred thousand rows as if they were one. Outside a
    transaction, for until its end nobody else could."""
    conn.execute("ANALYZE import_candidates")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=format_rfc3339)
