"""`waymark cleanup`: purge everything whose retention has ended, now."""

from dataclasses import asdict

import click

from workers.cli.commands import Command
from workers.cli.output import say, show_record


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Count what would be purged, up to 100,000 of each kind.")
def cleanup(dry_run: bool) -> None:
    """Purge everything whose retention has ended, and print the numbers.

    The scheduler does this every hour.
    """
    from workers.cleanup import purge_all  # makes a broker

    if dry_run:
        say("Dry run: these numbers would be purged, and nothing was.")
    show_record(asdict(purge_all(dry_run=dry_run)))
