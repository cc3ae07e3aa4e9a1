"""A whole running Waymark, for the demo and for tests with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from script.stack.files import open_log, passable_directory, temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.postgres import EmbeddedPostgres
from script.stack.process import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHECKOUT = Path(__file__).resolve().parents[2]
READY_WITHIN = 180.0
STOP_WITHIN = 60.0
ADDRESSES = ("DATABASE_URL", "DATABASE_DIRECT_URL", "DATABASE_READ_URL", "REDIS_URL", "BROKER_URL", "GRPC_SERVER_URL")


class ServerFailedError(Exception):
    """script/server ended, or did not become ready; the message holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """`script/server` as a subprocess. Stop it by leaving the context; or break it, and see."""

    data: Path
    base_url: str
    process: subprocess.Popen[bytes]

    @property
    def urls(self) -> dict[str, str]:
        """urls.env: DATABASE_URL, REDIS_URL, GRPC_SERVER_URL, BASE_URL."""
        lines = (self.data / "urls.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def pids(self, name: str) -> list[int]:
        """Pids of "web", "worker", "postgres", "redis", "supervisor" …: the one started first, then its children.

        Empty while the process is down. A restart gives new ones: ask again.
        """
        try:
            leader = psutil.Process(json.loads((self.data / "pids.json").read_text())[name])
            return [leader.pid, *(child.pid for child in leader.children(recursive=True))]
        except (OSError, KeyError, psutil.NoSuchProcess):
            return []

    def kill(self, name: str) -> list[int]:
        """SIGKILL a process with all its children, as a machine that dies would; the pids that were killed."""
        pids = self.pids(name)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def output(self) -> str:
        """What script/server and its processes printed so far."""
        return _log(self.data).read_text(errors="replace")

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and wait. Return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            return self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise ServerFailedError(f"did not stop within {STOP_WITHIN:.0f} s.\n{_tail(self.data)}") from None


@contextmanager
def running_server(
    *,
    data: Path | None = None,
    port: int | None = None,
    env: Mapping[str, str | None] | None = None,
    arguments: tuple[str, ...] = (),
) -> Iterator[RunningServer]:
    """Start `script/server`, wait until it is ready, and stop it in the end.

    data: kept when given; otherwise temporary. Two servers one after the other on the same data are a restart.
    env: over the environment of this process; None removes a variable. A DATABASE_URL or REDIS_URL is used when it is
        named here, and not inherited: a test must not end up in the stores of another. The same of GRPC_SERVER_URL.
    """
    with ExitStack() as stack:
        if data is None:
            data = stack.enter_context(temporary_directory("waymark-"))
            stack.callback(EmbeddedPostgres(data / "postgres").destroy)
        server = _launch(data.resolve(), port or free_port(), env or {}, arguments)
        try:
            _wait_ready(server)
            yield server
        finally:
            server.stop()


def _launch(data: Path, port: int, env: Mapping[str, str | None], arguments: tuple[str, ...]) -> RunningServer:
    passable_directory(data)
    inherited = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
    wanted = {**inherited, **env, "WAYMARK_DATA": str(data), "PORT": str(port), "PYTHONPATH": str(CHECKOUT)}
    environment = {name: value for name, value in wanted.items() if value is not None}
    command = Command((sys.executable, "-m", "script.server", *arguments), environment=environment, directory=CHECKOUT)
    _log(data).unlink(missing_ok=True)
    with open_log(_log(data)) as log:
        process = subprocess.Popen(
            command.leashed(),
            cwd=command.directory,
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return RunningServer(data, f"http://{LOOPBACK}:{port}", process)


def _wait_ready(server: RunningServer) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while f"Waymark is ready at {server.base_url}" not in server.output():
        if (status := server.process.poll()) is not None:
            raise ServerFailedError(f"ended with status {status}.\n{_tail(server.data)}")
        if time.monotonic() > deadline:
            raise ServerFailedError(f"not ready after {READY_WITHIN:.0f} s.\n{_tail(server.data)}")
        time.sleep(0.05)


def _log(data: Path) -> Path:
    return data / "server.log"


def _tail(data: Path) -> str:
    return "\n".join(_log(data).read_text(errors="replace").splitlines()[-40:])
