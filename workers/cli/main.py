"""The root of the command line. A module is loaded when one of its commands is needed."""

import errno
import os
import sys
import traceback
from importlib import import_module
from typing import Any, cast

import click

from shared.infra import db, read_replica
from shared.infra.logging import configure_command
from workers.cli.commands import INTERRUPTED, REPL, SHORT_HELP, CommandError, Group
from workers.cli.tables import printable

SECTIONS = {
    "Accounts and organizations": {
        "users": "workers.cli.users:users",
        "sessions": "workers.cli.sessions:sessions",
        "organizations": "workers.cli.organizations:organizations",
        "keys": "workers.cli.keys:keys",
    },
    "Codes and scans": {
        "qr": "workers.cli.qr:qr",
        "codes": "workers.cli.codes:codes",
        "imports": "workers.cli.csv_imports:imports",
        "renders": "workers.cli.renders:renders",
        "scans": "workers.cli.scans:scans",
        "quests": "workers.cli.quests:quests",
    },
    "Maintenance": {
        "doctor": "workers.cli.doctor:doctor",
        "analytics": "workers.cli.analytics:analytics",
        "backlog": "workers.cli.backlog:backlog",
        "settings": "workers.cli.settings:settings",
        "cleanup": "workers.cli.cleanup:cleanup",
        "files": "workers.cli.files:files",
        "backup": "workers.cli.backup:backup",
        "backups": "workers.cli.backup:backups",
        "restore": "workers.cli.backup:restore",
        "drill": "workers.cli.backup:drill",
        "smoke": "workers.cli.smoke:smoke",
    },
    "Shell": {
        "repl": "workers.cli.repl:repl",
        "completion": "workers.cli.completion:completion",
    },
}
"""The commands by section of the help: each name with its module and variable."""
AT_THE_PROMPT = {"help": "workers.cli.repl:show_help", "exit": "workers.cli.repl:leave"}
COMMANDS = {name: place for section in SECTIONS.values() for name, place in section.items()}


class RootGroup(Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_places(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _places(ctx).get(cmd_name)
        if place is None:
            return None
        module, _, variable = place.partition(":")
        return cast("click.Command", getattr(import_module(module), variable))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # At the prompt, a line may be one of a shell, as in the documentation.
        if ctx.meta.get(REPL) and args[0] == "waymark":
            args = args[1:] or ["help"]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.meta.get(REPL):
            return super().invoke(ctx)
        # Only the prompt needs this library.
        from click_repl import ExitReplException

        # The prompt survives every error but the end of the process.
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            raise CommandError("Interrupted") from None
        except (click.ClickException, click.exceptions.Exit, ExitReplException):
            raise
        except Exception as error:
            raise _unexpected(error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, names in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name, command.get_short_help_str(SHORT_HELP))
                        for name in names
                        if name in _places(ctx)
                        if (command := self.get_command(ctx, name))
                    ]
                )


@click.group(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--traceback", is_flag=True, help="Print the traceback of an unexpected error.")
def waymark(traceback: bool) -> None:
    """Administer a Waymark installation.

    Commands need the settings of the service. They exit with 0, with 1 after an error, with 2 after wrong arguments,
    and with 130 after Ctrl-C.
    """


def _places(ctx: click.Context) -> dict[str, str]:
    """Return the modules and variables of the commands, by name. The prompt has two more, and not itself."""
    if not ctx.meta.get(REPL):
        return COMMANDS
    return {name: place for name, place in COMMANDS.items() if name != "repl"} | AT_THE_PROMPT


def main() -> None:
    """Run the command of `sys.argv` and exit."""
    configure_command()
    try:
        # The result is the status that a command chose.
        status = waymark.main(prog_name="waymark", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.Abort:
        status = INTERRUPTED
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        # The reader of the output has ended, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except Exception as error:  # noqa: BLE001 - an operator reads a sentence, and asks for the traceback
        status = _report_bug(error)
    finally:
        read_replica.close()
        db.close_pool()
    sys.exit(status if isinstance(status, int) else 0)


def _report_bug(error: Exception) -> int:
    if "--traceback" in sys.argv:
        traceback.print_exception(error)
    _unexpected(error).show()
    return 1


def _unexpected(error: Exception) -> CommandError:
    name = type(error).__name__
    return CommandError(f"Unexpected error: {name}: {printable(str(error))}. Repeat it with `waymark --traceback …`.")
