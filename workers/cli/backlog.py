"""`waymark backlog`: the open work of each queue."""

import json
import time
from dataclasses import asdict
from datetime import timedelta

import click
from rich.live import Live

from shared.infra import db
from shared.infra.backlog import QueueBacklog, load
from workers.cli.commands import Command
from workers.cli.output import console, is_json, show_rows
from workers.cli.tables import table


@click.command(cls=Command)
@click.option("--watch", is_flag=True, help="Repeat until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(0.1), default=2.0, metavar="SECONDS", help="Time between two reads.")
def backlog(watch: bool, interval: float) -> None:
    """Show the open work of each queue, and the age of its oldest row.

    With --watch --json, each line is one document.
    """
    if not watch:
        show_rows(map(asdict if is_json() else _for_people, read_backlog()), empty="No queues")
    elif is_json():
        while True:
            click.echo(json.dumps(list(map(asdict, read_backlog()))))
            time.sleep(interval)
    else:
        with Live(console=console(), auto_refresh=False) as live:
            while True:
                live.update(table(list(map(_for_people, read_backlog()))), refresh=True)
                time.sleep(interval)


def read_backlog() -> list[QueueBacklog]:
    """Return the backlog of every queue."""
    with db.connection() as conn:
        return load(conn)


def _for_people(row: QueueBacklog) -> dict[str, object]:
    return {"queue": row.queue, "waiting": row.waiting, "oldest": str(timedelta(seconds=round(row.oldest_seconds)))}
