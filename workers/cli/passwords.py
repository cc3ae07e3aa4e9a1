"""Read new passwords: from the terminal, or from standard input with `--password-stdin`.

They are never arguments, because every user of the machine can read the arguments of a process.
"""

import getpass
import sys
import warnings

import click

from shared.accounts import passwords
from shared.accounts.rules import PASSWORD_CHARACTERS
from workers.cli.commands import CommandError

password_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
"""Adds `--password-stdin` to a command that reads a password."""


def read_password(username: str, *, from_stdin: bool) -> str:
    """Return a new password for this username. Raise CommandError if it is too short, too long or too common."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        try:
            with warnings.catch_warnings():
                # Without a terminal, getpass would read the password from standard input, and show it.
                warnings.simplefilter("error", getpass.GetPassWarning)
                password, repeated = getpass.getpass("Password: "), getpass.getpass("Repeat password: ")
        except (EOFError, getpass.GetPassWarning):
            raise CommandError("No terminal to read the password from: use --password-stdin") from None
        if password != repeated:
            raise CommandError("The passwords differ")
    least, most = PASSWORD_CHARACTERS
    if not least <= len(password) <= most:
        raise CommandError(f"A password must have {least} to {most} characters")
    if passwords.is_too_common(password, username):
        raise CommandError(passwords.TOO_COMMON)
    return password
