"""`waymark settings`: check the settings in the environment."""

import click

from shared import settings as environment
from shared.settings_checks import find_production_warnings
from workers.cli.commands import Group
from workers.cli.output import show_rows


@click.group(cls=Group)
def settings() -> None:
    """Check the settings in the environment."""


@settings.command(database=False)
def check() -> None:
    """Print every error and every warning. Exit with 1 if there is an error."""
    found = [{"severity": "error", "message": message} for message in environment.find_errors()]
    if not found:
        valid = environment.Settings()
        found = [{"severity": "warning", "message": message} for message in find_production_warnings(valid)]
    show_rows(found, empty="The settings are valid")
    if any(finding["severity"] == "error" for finding in found):
        click.get_current_context().exit(1)
