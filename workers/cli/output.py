"""Output of commands: tables and sentences for people, or one JSON document with `--json`."""

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from shared.infra.timestamps import format_rfc3339
from workers.cli.tables import Row, as_text, heading, printable, record, write

JSON = "waymark.json"
"""The key in the context's `meta` that says whether the command prints JSON."""
WIDTH_OF_FILES = 10_000
"""Columns of output that is no terminal. No line of a table is broken there."""
T = TypeVar("T")


def is_json() -> bool:
    """Return whether the command that runs prints JSON."""
    return bool(click.get_current_context().meta.get(JSON))


def console(*, stderr: bool = False) -> Console:
    """Return a console that interprets no markup. It breaks lines on terminals only."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_OF_FILES
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def show_rows(rows: Iterable[Row], *, empty: str, limit: int | None = None) -> None:
    """Print a table with a column for each key, or the sentence `empty`. As JSON: a list of objects.

    `limit` is the value of --limit. If there are as many rows, say that there may be more.
    """
    listed = list(rows)
    if is_json():
        print_json(listed)
    elif not listed:
        console().print(printable(empty))
    else:
        write(listed, console())
        if len(listed) == limit:
            say(f"Listed the first {limit:,}. There may be more: raise --limit.")


def show_record(values: Row) -> None:
    """Print one line for each value. As JSON: an object."""
    if is_json():
        print_json(values)
        return
    print_table(record({heading(name): as_text(value) for name, value in values.items()}))


def print_table(table: Table) -> None:
    """Print a table. In a file, its lines end without spaces."""
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def report(sentence: str, **values: object) -> None:
    """Print what the command did. As JSON: an object with the sentence as `message`, and the values."""
    if is_json():
        print_json({"message": sentence, **values})
    else:
        print_sentences(sentence)


def print_sentences(text: str, *, stderr: bool = False) -> None:
    """Print lines of text. A terminal breaks them between words, a file does not."""
    out = console(stderr=stderr)
    out.print("\n".join(map(printable, text.splitlines())), soft_wrap=not out.is_terminal)


def say(sentence: str) -> None:
    """Print a sentence on stderr about the progress of a command. As JSON: nothing."""
    if not is_json():
        print_sentences(sentence, stderr=True)


def progress(items: Sequence[T], description: str) -> Iterator[T]:
    """Yield the items. On a terminal, show a progress bar on stderr."""
    yield from track(items, description, console=console(stderr=True), disable=is_json() or not sys.stderr.isatty())


class ProgressBar:
    """A progress bar on stderr, on a terminal only."""

    def __init__(self, bar: Progress, description: str) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=1.0)

    def show(self, done: float) -> None:
        """Show a progress from 0.0 to 1.0."""
        self._bar.update(self._task, completed=done)

    def say(self, sentence: str) -> None:
        """Print a sentence on stderr, above the bar if there is one."""
        self._bar.console.print(printable(sentence))


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressBar]:
    """Show a progress bar while the context is open."""
    hidden = is_json() or not sys.stderr.isatty()
    with Progress(console=console(stderr=True), disable=hidden) as bar:
        yield ProgressBar(bar, description)


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Show on stderr that something takes a while, on a terminal only."""
    if is_json() or not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(description):
        yield


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
