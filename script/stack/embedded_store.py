"""What the embedded stores have in common: being made ready, started, waited for, stopped and removed."""

from __future__ import annotations

import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from script.stack.files import open_log
from script.stack.process import kill_group

if TYPE_CHECKING:
    from pathlib import Path

    from script.stack.process import Command

READY_WITHIN = 60.0
"""Seconds. A healthy start takes about one; recovery after a crash replays the log first."""

STOP_WITHIN = 20.0
"""Seconds. PostgreSQL's last checkpoint writes out all that is in memory."""


class StoreError(Exception):
    """A store could not be made, started or reached; the message says why and what to do."""


class EmbeddedStore(ABC):
    """An embedded server on 127.0.0.1. Its data and its password are below `data`.

    A supervisor calls `prepare()` and runs `command()` in the foreground as its own child. `problem()` returns None
    once it answers. Tests use the store as a context manager, which does all of that.
    """

    name: ClassVar[str]
    data: Path
    _process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, password included. Known once `prepare()` has run."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what is missing and stop what a killed run left behind; the address stays the same.

        To be repeated before every start, and only then: our own running server would pass for an orphan.
        """

    @abstractmethod
    def command(self) -> Command:
        """What runs the server in the foreground, logging to its standard output and error."""

    @abstractmethod
    def problem(self) -> str | None:
        """None when the server answers with our password, else why not. Takes two seconds at most."""

    @property
    def log(self) -> Path:
        return self.data / "log"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Prepare, run and wait until it answers."""
        self.prepare()
        command = self.command()
        with open_log(self.log) as log:
            self._process = subprocess.Popen(
                command.leashed(),
                cwd=command.directory,
                env=command.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop in order, by force if that takes too long. The data stays."""
        if (process := self._process) is None:
            return
        command = self.command()
        process.send_signal(command.stop_signal)
        try:
            process.wait(command.stop_within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill_group(process.pid)
        self._process = None

    def destroy(self) -> None:
        """Remove every trace of a stopped store."""
        shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while problem := self.problem():
            if process.poll() is not None:
                raise StoreError(f"{self.name} ended with status {process.returncode}. {self._end_of_log()}")
            if time.monotonic() > deadline:
                raise StoreError(f"{self.name} not ready after {READY_WITHIN:.0f} s: {problem}. {self._end_of_log()}")
            time.sleep(0.02)

    def _end_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return "\n".join([f"The end of {self.log}:", *lines])
