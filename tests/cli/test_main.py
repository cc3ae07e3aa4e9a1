"""The process: exit statuses, errors in one sentence, and help."""

import os
import subprocess
import sys

import click
import pytest

from script.stack.running_server import CHECKOUT
from shared.infra import db
from shared.infra.db import Conn
from tests.cli.reference import PAGE, leaves, reference
from tests.conftest import PASSWORD
from tests.support.command_line import waymark
from workers.cli import main
from workers.cli.commands import Command
from workers.cli.main import waymark as root


def start(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (sys.executable, "-m", "workers.cli", *arguments),
        cwd=CHECKOUT,
        env=os.environ,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_process_exits_with_a_status_and_prints_errors_on_stderr(conn: Conn) -> None:
    done = start("users", "create", "ada", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (done.returncode, done.stderr) == (0, "")
    again = start("users", "create", "ada", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert "taken" in again.stderr
    assert start("users", "create").returncode == 2
    assert "The prompt needs a terminal" in start("repl", stdin="users list\n").stderr


def test_unexpected_error_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_options: object) -> None:
        raise ValueError("a\nb")

    monkeypatch.setattr(root, "main", fail)
    monkeypatch.setattr(db, "close_pool", lambda: None)
    for arguments, lines in ((["waymark"], 1), (["waymark", "--traceback"], 2)):
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as exit_:
            main.main()
        assert exit_.value.code == 1
        error = capsys.readouterr().err
        assert "Error: Unexpected error: ValueError: a\\nb" in error
        assert len(error.splitlines()) >= lines
        assert ("Traceback" in error) is (lines == 2)


@pytest.mark.parametrize("raised", [click.Abort(), KeyboardInterrupt()], ids=repr)
def test_interrupted_command_exits_with_130(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    def interrupt(_context: click.Context) -> None:
        raise raised

    monkeypatch.setattr(root, "invoke", interrupt)
    monkeypatch.setattr(db, "close_pool", lambda: None)
    monkeypatch.setattr(sys, "argv", ["waymark", "users", "create"])
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert exit_.value.code == 130


def test_every_command_has_help_and_json() -> None:
    """The first line of each help is a sentence."""
    for context in leaves(click.Context(root, info_name="waymark")):
        command, names = context.command, context.command_path.split()[1:]
        assert isinstance(command, Command), names
        assert "--json" in waymark(*names, "--help")
        assert command.get_short_help_str(200).endswith("."), names
        assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option)), names


def test_every_command_and_option_is_in_the_reference() -> None:
    assert PAGE.read_text().endswith(reference()), "run python -m tests.cli.reference"
