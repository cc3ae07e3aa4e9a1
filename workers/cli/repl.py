"""`waymark repl`: the commands at a prompt, with history and completion."""

import os
from pathlib import Path

import click
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from workers.cli.commands import REPL, Command


class PrivateHistory(FileHistory):
    """A history that only its owner can read, without lines about passwords."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        file.chmod(0o600)
        super().__init__(str(file))

    def store_string(self, string: str) -> None:
        if "password" not in string.lower():
            super().store_string(string)


@click.command(cls=Command, database=False)
@click.pass_context
def repl(ctx: click.Context) -> None:
    """Read commands at a prompt, without `waymark` before them.

    Tab completes names, and arrow keys recall earlier lines. `help` lists the commands. Ctrl-D ends it.
    """
    # It looks at standard input when it is imported.
    from click_repl import repl as read_commands

    ctx.meta[REPL] = True
    # No line runs a command of the system's shell.
    read_commands(
        ctx,
        prompt_kwargs={"message": "waymark> ", "history": make_history()},
        allow_system_commands=False,
        allow_internal_commands=False,
    )


def make_history() -> History:
    """Return the history in $XDG_STATE_HOME/waymark, or one in memory where no file can be written."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    try:
        return PrivateHistory(folder / "waymark" / "history")
    except OSError:
        return InMemoryHistory()


@click.command("help", cls=Command, database=False)
@click.pass_context
def show_help(ctx: click.Context) -> None:
    """List the commands."""
    click.echo(ctx.find_root().get_help())


@click.command("exit", cls=Command, database=False)
def leave() -> None:
    """End the prompt."""
    from click_repl import exit as end_prompt

    end_prompt()
