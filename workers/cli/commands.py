"""Commands and groups of `waymark`. Every command has `--json`, and reports an error as one sentence on stderr."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from uuid import UUID

import click
import psycopg
import psycopg_pool
import redis

from shared.backup.errors import BackupError
from shared.errors import DomainError, Invalid
from shared.infra import db
from shared.infra.broker import BrokerUnavailable
from shared.infra.storage.base import StorageError
from shared.settings import SettingsError
from workers.cli.output import JSON, print_sentences
from workers.cli.tables import printable

REPL = "waymark.repl"
"""The key in the context's `meta` that says whether commands are read at a prompt."""
SHORT_HELP = 120
"""Characters of the first sentence of a help text that lists of commands show."""
NO_SERVER = "\nSet them. Or start script/server: its stores are used. WAYMARK_DATA names its data (.waymark)."
INTERRUPTED = 130
"""The exit status after Ctrl-C, as of a shell."""


class CommandError(click.ClickException):
    """The command failed. The process prints the message and ends with status 1."""

    def format_message(self) -> str:
        return "\n".join(map(printable, self.message.splitlines()))

    def show(self, file: IO[Any] | None = None) -> None:
        if file is None:
            print_sentences(f"Error: {self.message}", stderr=True)
        else:
            super().show(file)


class Command(click.Command):
    """A command with `--json`. It connects to PostgreSQL first, unless it is made with `database=False`."""

    def __init__(self, *arguments: Any, database: bool = True, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.needs_database = database
        self.params.append(
            click.Option(
                ["--json"], is_flag=True, expose_value=False, callback=_choose_json, help="Print JSON instead of text."
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        with errors_as_sentences():
            if self.needs_database:
                db.require_database()
            return super().invoke(ctx)


class Group(click.Group):
    """A group of commands of this module's classes."""

    command_class = Command
    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its first sentence. click cuts it at the width of the terminal."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(SHORT_HELP))
                    for name in self.list_commands(ctx)
                    if (command := self.get_command(ctx, name))
                ]
            )


def _choose_json(ctx: click.Context, _option: click.Parameter, chosen: bool) -> None:
    ctx.meta[JSON] = chosen


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Raise CommandError in place of each error that an operator can correct or wait for."""
    try:
        yield
    except Invalid as error:
        fields = "\n".join(f"{_name(field.loc)}{field.message}" for field in error.field_errors)
        raise CommandError(fields or str(error)) from error
    except DomainError as error:
        raise CommandError(str(error)) from error
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
        raise CommandError(f"PostgreSQL is unavailable: {db.describe(error)}") from error
    except psycopg.Error as error:
        raise CommandError(f"PostgreSQL refused the statement: {db.describe(error)}") from error
    except BrokerUnavailable as error:
        raise CommandError(f"The broker of messages is unavailable: {db.describe(error)}") from error
    except redis.RedisError as error:
        raise CommandError(f"Redis is unavailable: {db.describe(error)}") from error
    except (BackupError, StorageError) as error:
        raise CommandError(str(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    except SettingsError as error:
        hint = "" if os.environ.get("DATABASE_URL") else NO_SERVER
        raise CommandError(f"{error.code}{hint}") from error
    except SystemExit as error:
        # An unavailable PostgreSQL ends other processes this way.
        if isinstance(error.code, str):
            raise CommandError(error.code) from error
        raise


def _name(loc: str) -> str:
    """Return the name of a field before its message. An error of the whole document or file has none."""
    return "" if loc == "body" else f"{loc.removeprefix('body.')}: "


yes_option = click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
"""Adds `--yes` to a command that asks for a confirmation."""


def confirm(question: str, *, yes: bool) -> None:
    """Ask for a confirmation, unless `--yes` was given. Raise CommandError if the answer is not yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Confirm with --yes.")
    if not click.confirm(printable(question), err=True):
        raise CommandError("Nothing was changed.")


class UuidType(click.ParamType[UUID]):
    """An id."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        try:
            return value if isinstance(value, UUID) else UUID(value)
        except ValueError:
            self.fail(f"{value} is not an id. Ids look like 0197a6b0-0000-7000-8000-000000000000.", param, ctx)


ID = UuidType()
