"""`waymark completion`: the script that lets a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

from workers.cli.commands import Command


@click.command(cls=Command, database=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that lets your shell complete `waymark`.

    For bash: eval "$(waymark completion bash)"
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has these three
    click.echo(found(ctx.find_root().command, {}, "waymark", "_WAYMARK_COMPLETE").source())
