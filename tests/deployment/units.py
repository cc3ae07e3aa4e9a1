"""Units of systemd as processes of a test: `systemctl restart` and `systemd-run` of script/deploy reach them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command

STOP_WITHIN = 60

# The test owns the processes, so that none outlives it.
SYSTEMCTL = """#!/bin/sh
exec curl --silent --fail --output /dev/null "http://127.0.0.1:{port}/$1/$2"
"""
SYSTEMD_RUN = """#!/bin/sh
while :; do
    case $1 in
    --working-directory=*) cd "${1#*=}" && shift ;;
    --*) shift ;;
    *) PYTHONPATH=$PWD exec "$@" ;;
    esac
done
"""


class Units:
    """The processes by the names of their units."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Other tests rely on that no server listens at the address that they all have in GRPC_SERVER_URL.
        self._catalog = f"{LOOPBACK}:{free_port()}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.statuses: list[int] = []
        """The exit statuses of the processes that were replaced."""

    def restart(self, unit: str) -> None:
        """Stop the process with SIGTERM, wait for its end, and start it from the directory `current`."""
        name, _, port = unit.removeprefix("waymark-").removeprefix("waymark@").removesuffix(".service").partition("@")
        heartbeats = self._root / "run" / f"waymark-{name}"
        self.stop(unit)
        for old in heartbeats.glob("*") if heartbeats.exists() else ():
            old.unlink()
        heartbeats.mkdir(parents=True, exist_ok=True)
        environment = (
            os.environ
            | {"HEARTBEAT_DIR": str(heartbeats), "HOST": LOOPBACK, "SHUTDOWN_NOTICE_SECONDS": "2"}
            | {"GRPC_LISTEN": self._catalog}
            | ({"PORT": port} if port else {})
        )
        command = Command(
            (str(self._root / "current/script/process"), name), environment=environment, directory=self._root
        )
        with open_log(self._root / f"{unit}.log") as log:
            self.running[unit] = subprocess.Popen(
                command.leashed(), cwd=self._root, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def output(self) -> str:
        """The end of what each process printed."""
        logs = sorted(self._root.glob("*.log"))
        return "".join(f"== {log.name}\n{log.read_text(errors='replace')[-2_000:]}\n" for log in logs)

    def stop(self, unit: str) -> None:
        process = self.running.pop(unit, None)
        if process is not None:
            process.send_signal(signal.SIGTERM)
            self.statuses.append(process.wait(STOP_WITHIN))

    def stop_all(self) -> None:
        for unit in list(self.running):
            self.stop(unit)


@contextmanager
def fake_systemd(bin_directory: Path, units: Units) -> Iterator[None]:
    """Write `systemctl` and `systemd-run` into a directory of PATH. They work until the context ends."""

    # One thread serves all requests: the kernel ends a process with the thread that started it.
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, verb, unit = unquote(self.path).split("/")
            if verb == "restart":
                units.restart(unit)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer((LOOPBACK, 0), Handler) as server:
        for name, text in {
            "systemctl": SYSTEMCTL.format(port=server.server_address[1]),
            "systemd-run": SYSTEMD_RUN,
        }.items():
            (bin_directory / name).write_text(text)
            (bin_directory / name).chmod(0o755)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            units.stop_all()
