"""CSV (RFC 4180) read row by row, in memory that does not grow with the file. Pure, but for the file it reads."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from shared.errors import FieldError, Invalid
from shared.imports.csv_cells import COLUMNS

MAX_ROWS = 100_000
MAX_ROW_BYTES = 3 * 2**20
"""A puzzle's data of a mebibyte, its quotes doubled, and the other cells."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ZIP = b"PK\x03\x04"
SEPARATOR = re.compile(r'"?sep=([;,])"?\s*', re.IGNORECASE)
"""A first line that spreadsheets write and read: which sign stands between cells."""
DECIMAL = re.compile(r"\s*-?[0-9]+,[0-9]+\s*")
DECIMALS = ("latitude", "longitude", "radius_m")
"""Columns of numbers that need not be whole."""
MAX_NAMED = 5
"""Of columns that are not ours: what a header says instead of names may be long."""

csv.field_size_limit(MAX_ROW_BYTES)  # its own, 131,072, is less than a puzzle's data may be


@dataclass(frozen=True)
class CsvRow:
    """A row's cells, and the line of the file that it begins at."""

    line: int
    cells: Sequence[str]


@dataclass(frozen=True)
class CsvFile:
    """A file whose header was read: the columns it has, in its order, and the rows still to be read."""

    columns: Sequence[str]
    rows: Iterator[CsvRow]


def open_csv(file: BinaryIO) -> CsvFile:
    """Read a file's header. Raises Invalid where it has none; its rows raise it at what cannot be read.

    The file is UTF-8, with or without a byte order mark; its cells stand between commas, or semicolons, as spreadsheets
    write where the comma is the decimal sign: it is then taken for one. Columns at the end that have neither a name nor
    anything in them are passed over.
    """
    lines = _lines(file)
    head = next(lines, "")
    said = SEPARATOR.fullmatch(head)
    if said:
        head = next(lines, "")
    if not head.strip():
        raise _malformed("begins without a header: the first line must name the columns")
    delimiter = said[1] if said else ";" if head.count(";") > head.count(",") else ","
    rows = _rows(lines, head, delimiter, first=2 if said else 1)
    columns = [name.strip() for name in next(rows).cells]
    whole = len(columns)
    while columns and not columns[-1]:
        columns.pop()
    _check(columns)
    decimals = [place for place, name in enumerate(columns) if name in DECIMALS and delimiter == ";"]
    return CsvFile(tuple(columns), _non_empty_rows(rows, len(columns), whole, decimals))


def _check(columns: Sequence[str]) -> None:
    """Raises Invalid where a header's columns are not ours, or not each there once."""
    unknown = list(dict.fromkeys(name for name in columns if name not in COLUMNS))
    if unknown:
        shown = ", ".join(repr(name[:40]) for name in unknown[:MAX_NAMED])
        more = f" and {len(unknown) - MAX_NAMED:,} more" if len(unknown) > MAX_NAMED else ""
        raise _malformed(f"has unknown columns: {shown}{more}. There are {', '.join(COLUMNS)}")
    twice = sorted(name for name, n in Counter(columns).items() if n > 1)
    if twice:
        raise _malformed(f"names these columns more than once: {', '.join(twice)}")
    if "scan_type" not in columns:
        raise _malformed("has no column scan_type, which every code needs")


def _non_empty_rows(rows: Iterator[CsvRow], width: int, whole: int, decimals: Sequence[int]) -> Iterator[CsvRow]:
    """The rows that say anything; of one with more cells than the header, one too many. Raises Invalid beyond as many
    rows as there may be.

    Of a header's `whole` cells `width` name columns; those at `decimals` may hold a comma for the point.
    """
    n = blank = 0
    for row in rows:
        if any(row.cells):
            n += 1
            is_bare = len(row.cells) <= whole and not any(row.cells[width:])
            cells = list(row.cells[: width if is_bare else width + 1])
            for place in decimals:
                if place < len(cells) and DECIMAL.fullmatch(cells[place]):
                    cells[place] = cells[place].replace(",", ".")
            yield CsvRow(row.line, cells)
        else:
            blank += 1
        if max(n, blank) > MAX_ROWS:
            raise _malformed(f"has more than {MAX_ROWS:,} rows")


def _rows(lines: Iterator[str], head: str, delimiter: str, *, first: int) -> Iterator[CsvRow]:
    """Cells by the rules of RFC 4180, strictly: what follows a closed quote is another cell or the end of the row. The
    header stands on the `first` line."""
    of_row = _RowLines(lines, head)
    reader = csv.reader(of_row, delimiter=delimiter, strict=True)
    while True:
        line = of_row.begin(reader.line_num + first)
        try:
            yield CsvRow(line, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            raise _unreadable(line, str(error)) from None


class _RowLines:
    """Lines for the reader, which asks for more while a quote is open: not beyond what one row may have."""

    def __init__(self, lines: Iterator[str], head: str) -> None:
        self._lines, self._next = lines, head
        self._line = self._bytes = 0

    def begin(self, line: int) -> int:
        self._line, self._bytes = line, 0
        return line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text, self._next = self._next or next(self._lines), ""
        self._bytes += len(text)
        if self._bytes > MAX_ROW_BYTES:
            raise _at(self._line, f"begins a row of more than {MAX_ROW_BYTES:,} bytes; is a quote left open?")
        return text


def _lines(file: BinaryIO) -> Iterator[str]:
    """Lines with their ends. Raises Invalid for what is no text that can be stored."""
    number = 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if number == 1:
            if raw.startswith(ZIP):
                raise _malformed("is a ZIP archive, as workbooks are, and not CSV: save it as CSV UTF-8")
            raw = raw.removeprefix(BYTE_ORDER_MARK)
        if len(raw) > MAX_ROW_BYTES:
            raise _at(number, f"is longer than {MAX_ROW_BYTES:,} bytes")
        if b"\0" in raw:
            raise _at(number, "holds NUL")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _at(number, "is not UTF-8: save the file as CSV UTF-8") from None


def _unreadable(line: int, error: str) -> Invalid:
    """What Python's reader found, in words of ours."""
    if "unexpected end of data" in error:
        return _at(line, "begins a row in which a quote is opened and never closed")
    if "new-line character" in error:
        return _at(line, "holds a carriage return by itself: lines must end in LF or CRLF")
    if "expected after" in error:
        return _at(line, "begins a row in which text follows a closing quote; quotes inside a cell are doubled")
    return _at(line, f"cannot be read as CSV: {error}")


def _at(line: int, message: str) -> Invalid:
    return Invalid(FieldError(f"body.lines.{line}", message))


def _malformed(message: str) -> Invalid:
    return Invalid(FieldError("body", message))
