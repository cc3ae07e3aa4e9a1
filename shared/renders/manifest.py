"""`manifest.csv`: which picture is whose (RFC 4180). What a spreadsheet would take for a formula is told as text."""

import csv
from collections.abc import Iterable
from io import StringIO

from shared.imports.csv_cells import escape_formula

COLUMNS = ("file", "qr_id", "code", "description", "url", "error")


def csv_row(cells: Iterable[str]) -> bytes:
    """One line, in UTF-8. A cell that begins like a formula gets a leading `'`, as in an export of codes."""
    written = StringIO(newline="")
    csv.writer(written).writerow([escape_formula(cell) for cell in cells])
    return written.getvalue().encode()


HEADER = b"\xef\xbb\xbf" + csv_row(COLUMNS)
"""Marked as UTF-8: spreadsheets would take it for an older encoding."""
