"""`waymark repl`: the commands at a prompt, with history and completion."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from workers.cli.commands import REPL, Command, CommandError


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
    if not sys.stdin.isatty():
        # It would stop at an empty line, and end with 0 after errors.
        raise CommandError("The prompt needs a terminal. In a script, run `waymark COMMAND` for each command.")
    # It looks at standard input when it is imported.
    from click_repl import repl as read_commands

    ctx.meta[REPL] = True
    # No line runs a command of the system's shell.
    read_commands(
        ctx,
        prompt_kwargs={
            "message": "waymark> ",
            "history": make_history(),
            "completer": CommandCompleter(ctx.find_root()),
            "complete_in_thread": True,
        },
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


class CommandCompleter(Completer):
    """Complete a line as a shell does: commands, options, files, and values."""

    def __init__(self, root: click.Context) -> None:
        self._shell = ShellComplete(root.command, {"parent": root}, "waymark", "")

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        line = document.text_before_cursor
        words = split_arg_string(line)
        word = words.pop() if words and not line[-1].isspace() else ""
        for item in self._shell.get_completions(words, word):
            if item.type == "plain":
                yield Completion(shlex.quote(item.value), -len(word), display_meta=item.help or "")
            else:
                yield from PathCompleter(expanduser=True).get_completions(Document(word), complete_event)


def complete_command(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a command after `help`."""
    try:
        found = _find(ctx.find_root(), ctx.params.get("names") or ())
    except CommandError:
        return []
    return found.command.shell_complete(found, incomplete) if isinstance(found.command, click.Group) else []


@click.command("help", cls=Command, database=False)
@click.argument("names", nargs=-1, metavar="[COMMAND]...", shell_complete=complete_command)
@click.pass_context
def show_help(ctx: click.Context, names: tuple[str, ...]) -> None:
    """List the commands, or show the help of one."""
    click.echo(_find(ctx.find_root(), names).get_help())


def _find(ctx: click.Context, names: Iterable[str]) -> click.Context:
    for name in names:
        command = ctx.command.get_command(ctx, name) if isinstance(ctx.command, click.Group) else None
        if command is None:
            raise CommandError(f"No command {name}")
        ctx = click.Context(command, info_name=name, parent=ctx)
    return ctx


@click.command("exit", cls=Command, database=False)
def leave() -> None:
    """End the prompt."""
    from click_repl import exit as end_prompt

    end_prompt()
