"""`manifest.csv`: the codes of an archive and their files (RFC 4180). Formulas of spreadsheets are escaped."""

import csv
from collections.abc import Iterable
from io import StringIO

from shared.imports.csv_cells import escape_formula

COLUMNS = ("file", "qr_id", "code", "description", "url", "error")


def csv_row(cells: Iterable[str]) -> bytes:
    """Return a line in UTF-8. A cell that begins like a formula gets a leading `'`, as in an export of codes."""
    output = StringIO(newline="")
    csv.writer(output).writerow([escape_formula(cell) for cell in cells])
    return output.getvalue().encode()


HEADER = b"\xef\xbb\xbf" + csv_row(COLUMNS)
"""Starts with a byte order mark. Without it, spreadsheets assume a legacy encoding."""
