"""Processes beside those of script/server, and what is done to either."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from script.stack import RunningServer
from script.stack.files import open_log
from script.stack.process import Command, kill_group
from script.stack.running_server import CHECKOUT
from tests.support.polling import eventually

ENVIRONMENT: dict[str, str] = {
    "LOG_FORMAT": "json",
    "SCAN_LEASE_SECONDS": "2",
    "LEADER_SILENCE_SECONDS": "5",
    "PENDING_POLL_SECONDS": "0.5",
    "MAX_WEBSOCKETS": "6",
}
"""What every process of these tests is given: short leases, so that faults are found soon, and few sockets."""


class OwnProcess:
    """A process on a server's stores that the test starts itself, and starts again where a platform would."""

    def __init__(self, server: RunningServer, log: Path, module: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._log = log
        self._command = Command(
            (sys.executable, "-m", *module),
            environment={
                **os.environ,
                **ENVIRONMENT,
                **server.urls,
                "FILES_DIR": str(server.data / "files"),
                "PYTHONUNBUFFERED": "1",
                **env,
            },
            directory=CHECKOUT,
        )
        self.starts = 0
        self.start()

    def start(self) -> None:
        with open_log(self._log) as log:
            self.process = subprocess.Popen(
                self._command.leashed(),
                cwd=self._command.directory,
                env=self._command.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1

    def keep_up(self) -> None:
        """Start it again if it has died."""
        if self.process.poll() is not None:
            kill_group(self.process.pid)
            self.start()

    @property
    def pids(self) -> list[int]:
        leader = psutil.Process(self.process.pid)
        return [leader.pid, *(child.pid for child in leader.children(recursive=True))]

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def until_it_says(self, word: str) -> None:
        eventually(lambda: word in self.output())

    def kill(self) -> None:
        kill_group(self.process.pid)
        self.process.wait()


@contextmanager
def own_process(server: RunningServer, log: Path, *module: str, **env: str) -> Iterator[OwnProcess]:
    """Run `python -m module` with the stores of a server, until the context ends."""
    own = OwnProcess(server, log, module, env)
    try:
        yield own
    finally:
        own.kill()


@contextmanager
def halted(pids: Iterable[int]) -> Iterator[None]:
    """Stopped in their tracks, as a machine that swaps or migrates; going on afterwards as if nothing had been."""
    stopped = list(pids)
    send(signal.SIGSTOP, stopped)
    try:
        yield
    finally:
        send(signal.SIGCONT, stopped)


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def restarted(server: RunningServer, name: str, than: Iterable[int]) -> list[int]:
    """The pids of a process once it is another one."""
    before = set(than)
    return eventually(lambda: [pid for pid in server.pids(name) if pid not in before])


def log_lines(server: RunningServer) -> list[dict[str, Any]]:
    """Return every JSON log line of the server's processes. `process` names the process.

    A line that is being written is not among them.
    """
    found = []
    for line in server.output().splitlines(keepends=True):
        _, _, text = line.partition(" | ")
        if text.startswith("{") and text.endswith("\n"):
            found.append(json.loads(text))
    return found
