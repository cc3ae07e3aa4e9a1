"""Tables of rows for people. One that is too wide for a terminal becomes one block of lines for each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, object]
UNITS = {"m": "m", "seconds": "s", "hours": "h"}
ABBREVIATIONS = {"id": "ID", "url": "URL", "api": "API", "org": "Organization", "postgresql": "PostgreSQL"}
GAP = "  "
NARROWEST_TEXT = 20
"""A longer text may be broken over lines. A shorter one is often a name, which is copied."""


def printable(text: str) -> str:
    """Escape control characters, so that a name from outside cannot control the operator's terminal."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "backslashreplace").decode("ascii")
        for each in text
    )


def heading(name: str) -> str:
    """Return the heading of a column: `last_used_at` is "Last used", `org_id` is "Organization ID".

    A unit at the end is in parentheses: `radius_m` is "Radius (m)".
    """
    unit = name.rpartition("_")[2]
    if unit in UNITS:
        return f"{heading(name.removesuffix(f'_{unit}'))} ({UNITS[unit]})"
    words = name.removesuffix("_at").split("_")
    title = " ".join(ABBREVIATIONS.get(word, word) for word in words)
    return title[0].upper() + title[1:]


def as_text(value: object) -> str:
    """Return a value for people: times in UTC to the second, numbers with thousands separators."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return f"{value:,.6f}".rstrip("0").rstrip(".")
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(as_text, value)) or "-"
        case _ if is_dataclass(value) and not isinstance(value, type):
            return as_text(vars(value))
        case Mapping():
            return ", ".join(f"{name} {as_text(each)}" for name, each in value.items()) or "-"
        case _:
            return printable(str(value))


@dataclass(frozen=True)
class Column:
    """The cells of a column as text, below their heading."""

    title: str
    cells: Sequence[str]
    is_number: bool
    is_breakable: bool
    width: int

    @property
    def narrowest(self) -> int:
        """The width below which a table is hard to read."""
        return min(self.width, max(NARROWEST_TEXT, len(self.title))) if self.is_breakable else self.width

    def padded(self, cell: str) -> str:
        """Return the cell, filled to the width of the column."""
        space = " " * (self.width - _width(cell))
        return f"{space}{cell}" if self.is_number else f"{cell}{space}"


def columns(rows: Sequence[Row]) -> list[Column]:
    """Return a column for each key of the first row."""
    found = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        known = next((value for value in values if value is not None), None)
        cells = [as_text(value) for value in values]
        title = heading(name)
        is_number = isinstance(known, int | float | Decimal) and not isinstance(known, bool)
        # An id that is broken over two lines cannot be copied.
        is_breakable = not (is_number or isinstance(known, datetime) or name == "id" or name.endswith("_id"))
        found.append(Column(title, cells, is_number, is_breakable, max(len(title), *map(_width, cells))))
    return found


def write(rows: Sequence[Row], console: Console) -> None:
    """Print rows as a table. On a narrow terminal, break long texts; on a narrower one, print a block for each row."""
    found = columns(rows)
    space = console.width - len(GAP) * (len(found) - 1)
    if not console.is_terminal or sum(column.width for column in found) <= space:
        # rich takes half a minute for 100,000 rows.
        click.secho(GAP.join(column.padded(column.title) for column in found).rstrip(), bold=True)
        for cells in zip(*(column.cells for column in found), strict=True):
            click.echo(GAP.join(column.padded(cell) for column, cell in zip(found, cells, strict=True)).rstrip())
    elif sum(column.narrowest for column in found) <= space:
        console.print(_broken(found))
    else:
        for number in range(len(rows)):
            console.print(record({column.title: column.cells[number] for column in found}))
            console.print()


def table(rows: Sequence[Row]) -> Table:
    """Return a table for a display that is renewed."""
    return _broken(columns(rows))


def record(values: Mapping[str, str]) -> Table:
    """Return a table with a line for each value."""
    lines = Table(box=None, show_header=False, pad_edge=False, padding=(0, len(GAP), 0, 0))
    lines.add_column(style="bold", no_wrap=True)
    lines.add_column(overflow="fold")
    for title, value in values.items():
        lines.add_row(title, Text(value))
    return lines


def _broken(found: Sequence[Column]) -> Table:
    result = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for column in found:
        result.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=column.narrowest == column.width,
            min_width=column.narrowest,
            overflow="fold",
        )
    for cells in zip(*(column.cells for column in found), strict=True):
        result.add_row(*map(Text, cells))
    return result


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
