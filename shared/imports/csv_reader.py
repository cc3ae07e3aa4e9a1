"""Read CSV (RFC 4180) row by row, in memory that does not grow with the file. Pure, except for the file."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from shared.errors import FieldError, Invalid
from shared.imports.csv_cells import COLUMNS
from shared.infra.blanks import trim

MAX_ROWS = 100_000
MAX_ROW_BYTES = 3 * 2**20
"""Room for the data of a puzzle, a mebibyte with doubled quotes, and the other cells."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_FILES = {
    b"PK\x03\x04": "This is a ZIP archive, perhaps a workbook. Save it as CSV UTF-8.",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "This is a workbook of an old Excel (.xls). Save it as CSV UTF-8.",
    b"\x1f\x8b": "This file is compressed with gzip. Unpack it first.",
    b"\xff\xfe": "This is UTF-16, which Excel calls Unicode Text. Save it as CSV UTF-8.",
    b"\xfe\xff": "This is UTF-16, which Excel calls Unicode Text. Save it as CSV UTF-8.",
}
"""The first bytes of files that are often sent instead of CSV, and what to do."""
DELIMITERS = ",;\t|"
SEPARATOR = re.compile(r'"?sep=([,;\t|])"?[\r\n]*', re.IGNORECASE)
"""A first line that spreadsheets write and read: the delimiter of the cells."""
DECIMAL = re.compile(r"\s*-?[0-9]+,[0-9]+\s*")
DECIMALS = ("latitude", "longitude", "radius_m", "offline_hours", "answer_within_hours")
"""Columns of numbers with a fraction."""
MAX_NAMED = 5
"""Unknown columns that a message lists."""

# The default, 131,072, is less than the data of a puzzle may have.
csv.field_size_limit(MAX_ROW_BYTES)


@dataclass(frozen=True)
class CsvRow:
    """The cells of a row, and the line of the file where it starts."""

    line: int
    cells: Sequence[str]


@dataclass(frozen=True)
class CsvFile:
    """A file whose header was read: its columns in their order, and the rows that were not read yet."""

    columns: Sequence[str]
    rows: Iterator[CsvRow]


def open_csv(file: BinaryIO) -> CsvFile:
    """Read the header of a file. Raise Invalid if it is missing or unknown. Iterating over the rows raises Invalid for
    rows that cannot be read.

    The file is UTF-8, with or without a byte order mark. Cells are separated by commas, or by semicolons, tabs or bars
    with decimal commas, as some spreadsheets write. Trailing columns without a name and without content are skipped.
    """
    lines = _lines(file)
    head = next(lines, "")
    separator = SEPARATOR.fullmatch(head)
    if separator:
        head = next(lines, "")
    if not trim(head):
        raise _malformed("This file has no header. Name the columns in its first line.")
    delimiter = separator[1] if separator else max(DELIMITERS, key=head.count)
    rows = _rows(lines, head, delimiter, first=2 if separator else 1)
    columns = [trim(name) for name in next(rows).cells]
    header_cells = len(columns)
    while columns and not columns[-1]:
        columns.pop()
    _check(columns)
    decimals = [index for index, name in enumerate(columns) if name in DECIMALS and delimiter != ","]
    return CsvFile(tuple(columns), _non_empty_rows(rows, len(columns), header_cells, decimals))


def _check(columns: Sequence[str]) -> None:
    """Raise Invalid if a column is unknown, repeated, or required and missing."""
    unknown = list(dict.fromkeys(name for name in columns if name not in COLUMNS))
    if unknown:
        shown = ", ".join(repr(name[:40]) for name in unknown[:MAX_NAMED])
        more = f" and {len(unknown) - MAX_NAMED:,} more" if len(unknown) > MAX_NAMED else ""
        raise _malformed(f"This file has unknown columns: {shown}{more}. The columns are {', '.join(COLUMNS)}.")
    repeated = sorted(name for name, count in Counter(columns).items() if count > 1)
    if repeated:
        raise _malformed(f"This file names columns more than once: {', '.join(repeated)}.")
    if "scan_type" not in columns:
        raise _malformed("This file has no column scan_type, which is required.")


def _non_empty_rows(rows: Iterator[CsvRow], width: int, header_cells: int, decimals: Sequence[int]) -> Iterator[CsvRow]:
    """Yield the rows with content. A row with more cells than the header keeps one of the surplus cells. Raise Invalid
    after MAX_ROWS.

    The header has `header_cells` cells, of which `width` name columns. Cells at `decimals` may have a decimal comma.
    """
    filled = empty = 0
    for row in rows:
        if any(trim(cell) for cell in row.cells):
            filled += 1
            has_surplus = len(row.cells) > header_cells or any(trim(cell) for cell in row.cells[width:])
            cells = list(row.cells[: width + 1 if has_surplus else width])
            for index in decimals:
                if index < len(cells) and DECIMAL.fullmatch(cells[index]):
                    cells[index] = cells[index].replace(",", ".")
            yield CsvRow(row.line, cells)
        else:
            empty += 1
        if max(filled, empty) > MAX_ROWS:
            raise _malformed(f"This file has more than {MAX_ROWS:,} rows. Split it.")


def _rows(lines: Iterator[str], head: str, delimiter: str, *, first: int) -> Iterator[CsvRow]:
    """Parse rows strictly by RFC 4180: a closing quote is followed by another cell or the end of the row. The header is
    in line `first`."""
    row_lines = _RowLines(lines, head)
    reader = csv.reader(row_lines, delimiter=delimiter, strict=True)
    while True:
        line = row_lines.start_row(reader.line_num + first)
        try:
            yield CsvRow(line, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            raise _unreadable(line, str(error)) from None


class _RowLines:
    """Lines for the CSV reader, which takes more of them while a quote is open. Limits the size of one row."""

    def __init__(self, lines: Iterator[str], head: str) -> None:
        self._lines, self._next = lines, head
        self._line = self._bytes = 0

    def start_row(self, line: int) -> int:
        self._line, self._bytes = line, 0
        return line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text, self._next = self._next or next(self._lines), ""
        self._bytes += len(text)
        if self._bytes > MAX_ROW_BYTES:
            raise _at(self._line, f"This row has more than {MAX_ROW_BYTES:,} bytes. A closing quote may be missing.")
        return text


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield lines with their ends. Raise Invalid for text that cannot be stored."""
    number = 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if number == 1:
            for start, message in OTHER_FILES.items():
                if raw.startswith(start):
                    raise _malformed(message)
            raw = raw.removeprefix(BYTE_ORDER_MARK)
        if len(raw) > MAX_ROW_BYTES:
            raise _at(number, f"This line is longer than {MAX_ROW_BYTES:,} bytes.")
        if b"\0" in raw:
            raise _at(number, "This line is not text in UTF-8. Save the file as CSV UTF-8.")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _at(number, "This line is not text in UTF-8. Save the file as CSV UTF-8.") from None


def _unreadable(line: int, error: str) -> Invalid:
    """Translate an error of Python's CSV reader."""
    if "unexpected end of data" in error:
        return _at(line, "This row has a quote that is never closed.")
    if "new-line character" in error:
        return _at(line, "This line has a carriage return without a line feed. End lines in LF or CRLF.")
    if "expected after" in error:
        return _at(line, "In this row, text follows a closing quote. Double the quotes inside of a cell.")
    return _at(line, "This row cannot be read as CSV (RFC 4180).")


def _at(line: int, message: str) -> Invalid:
    return Invalid(FieldError(f"body.lines.{line}", message))


def _malformed(message: str) -> Invalid:
    return Invalid(FieldError("body", message))
