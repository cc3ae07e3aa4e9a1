"""`waymark repl` in a real terminal, and the completion of shells."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from tests.conftest import PASSWORD, Player

PATIENCE = 30.0
CONTROL_C = "\x03"
ASK_FOR_CURSOR = "\x1b[6n"
ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """A process in a terminal, and what it has printed since the last `expect`."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(CHECKOUT)
            # A shell ignores it in what it runs in the background, and the process would inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(sys.executable, [sys.executable, *arguments], os.environ | environment | {"TERM": "xterm"})
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.output = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def expect(self, pattern: str) -> str:
        """Wait until the process prints a match of the pattern. Return everything up to its end."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.output)):
            assert time.monotonic() < deadline, (pattern, self.output.split())
            if select.select([self.descriptor], [], [], 0.5)[0]:
                self.output += os.read(self.descriptor, 65_536).decode(errors="replace")
                if ASK_FOR_CURSOR in self.output:
                    self.type("\x1b[1;1R")
                self.output = ESCAPES.sub("", self.output)
        until, self.output = self.output[: found.end()], self.output[found.end() :]
        return until

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def prompt(conn: Conn, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal("-m", "workers.cli", "repl", XDG_STATE_HOME=str(tmp_path))
    yield terminal
    os.close(terminal.descriptor)


def test_prompt_runs_commands_and_survives_errors(prompt: Terminal, player: Player, tmp_path: Path) -> None:
    prompt.expect("waymark>")
    prompt.type("sess")
    prompt.expect("sessions")  # the menu
    prompt.type("\t")
    prompt.expect("ions")  # the rest of the word
    prompt.type(f" list {player.username}\r")
    prompt.expect("Last used")
    for line, answer in (
        ("sessions list unknown", "No player unknown"),
        ("!touch escaped", "No such command '!touch'"),
        ("repl", "No such command 'repl'"),
        ("users create --password-stdin", "Missing argument"),
        ("help", "Maintenance:"),
        ("help sessions revoke", "Revoke one session"),
        ("help sessions unknown", "No command unknown"),
        ("waymark sessions list unknown", "No player unknown"),
        ("waymark", "Maintenance:"),
    ):
        prompt.type(f"{line}\r")
        prompt.expect(re.escape(answer))
    prompt.type("backlog --watch\r")
    prompt.expect("renders")
    prompt.type(CONTROL_C)
    prompt.expect("Interrupted")
    prompt.type("exit\r")
    assert prompt.status() == 0

    history = tmp_path / "waymark" / "history"
    lines = re.findall(r"^\+(.*)$", history.read_text(), re.MULTILINE)
    assert lines[0] == f"sessions list {player.username}"
    assert "repl" in lines
    assert not any("password" in line for line in lines)
    assert history.stat().st_mode & 0o777 == 0o600
    assert not (CHECKOUT / "escaped").exists()


def test_password_is_asked_twice_and_interrupted_at_a_terminal(conn: Conn) -> None:
    terminal = Terminal("-m", "workers.cli", "users", "create", "ada")
    for prompt in ("Password: ", "Repeat password: "):
        terminal.expect(prompt)
        terminal.type(f"{PASSWORD}\r")
    assert PASSWORD not in terminal.expect("Created ada")
    assert terminal.status() == 0
    terminal = Terminal("-m", "workers.cli", "users", "erase", "ada")
    terminal.expect(r"Erase the account of ada\? This cannot be undone\. \[y/N\]: ")
    terminal.type("n\r")
    terminal.expect("Nothing was changed")
    assert terminal.status() == 1
    terminal = Terminal("-m", "workers.cli", "users", "reset-password", "ada")
    terminal.expect("Password: ")
    os.kill(terminal.pid, signal.SIGINT)
    assert terminal.status() == 130


def test_bash_completes_commands(tmp_path: Path) -> None:
    program = tmp_path / "waymark"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m workers.cli "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(waymark completion bash)"
        COMP_WORDS=(waymark organizations tr) COMP_CWORD=2
        _waymark_completion waymark
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ("/bin/bash", "-c", script),
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("transfer\n", "")
