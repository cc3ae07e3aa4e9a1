"""Output of commands: tables and sentences for people, or one JSON document with `--json`."""

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table
from rich.text import Text

from shared.infra.timestamps import format_rfc3339

JSON = "waymark.json"
"""The key in the context's `meta` that says whether the command prints JSON."""
WIDTH_OF_FILES = 10_000
"""Columns of output that is no terminal. No line of a table is broken there."""
Row = Mapping[str, object]
T = TypeVar("T")
UNITS = {"m": "m", "seconds": "s", "hours": "h"}
ABBREVIATIONS = {"id": "ID", "url": "URL", "api": "API", "org": "Organization"}


def is_json() -> bool:
    """Return whether the command that runs prints JSON."""
    return bool(click.get_current_context().meta.get(JSON))


def console(*, stderr: bool = False) -> Console:
    """Return a console that interprets no markup. It breaks lines on terminals only."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_OF_FILES
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def printable(text: str) -> str:
    """Escape control characters, so that a name from outside cannot control the operator's terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def show_rows(rows: Iterable[Row], *, empty: str) -> None:
    """Print a table with a column for each key, or the sentence `empty`. As JSON: a list of objects."""
    listed = list(rows)
    if is_json():
        print_json(listed)
    elif not listed:
        console().print(printable(empty))
    else:
        console().print(table(listed))


def show_record(record: Row) -> None:
    """Print one line for each value. As JSON: an object."""
    if is_json():
        print_json(record)
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in record.items():
        table.add_row(heading(name), Text(as_text(value)))
    console().print(table)


def report(sentence: str, **values: object) -> None:
    """Print what the command did. As JSON: an object with the sentence as `message`, and the values."""
    if is_json():
        print_json({"message": sentence, **values})
    else:
        console().print("\n".join(map(printable, sentence.splitlines())), soft_wrap=True)


def say(sentence: str) -> None:
    """Print a sentence on stderr about the progress of a command. As JSON: nothing."""
    if not is_json():
        console(stderr=True).print(printable(sentence), soft_wrap=True)


def progress(items: Sequence[T], description: str) -> Iterator[T]:
    """Yield the items. On a terminal, show a progress bar on stderr."""
    yield from track(items, description, console=console(stderr=True), disable=is_json() or not sys.stderr.isatty())


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows a progress from 0.0 to 1.0, on a terminal only."""
    hidden = is_json() or not sys.stderr.isatty()
    with Progress(console=console(stderr=True), disable=hidden) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Show on stderr that something takes a while, on a terminal only."""
    if is_json() or not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(description):
        yield


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


def table(rows: Sequence[Row]) -> Table:
    """Return a table with a column for each key of the first row."""
    columns = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, value in rows[0].items():
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        # An id that is broken over two lines cannot be copied.
        is_id = name == "id" or name.endswith("_id") or isinstance(value, datetime)
        columns.add_column(
            heading(name), justify="right" if is_number else "left", no_wrap=is_id or is_number, overflow="fold"
        )
    for row in rows:
        columns.add_row(*(Text(as_text(value)) for value in row.values()))
    return columns


def print_json(value: object) -> None:
    """Print a document. Other characters than ASCII are escaped: control characters of names reach no terminal."""
    click.echo(json.dumps(value, default=_plain, indent=2))


def open_private(path: Path) -> TextIO:
    """Create or replace a text file that only its owner can read. Line ends are written as they are."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "w", newline="")


def _plain(value: object) -> Any:
    match value:
        case datetime():
            return format_rfc3339(value)
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
        case set() | frozenset():
            return sorted(value)
        case _:
            return str(value)
