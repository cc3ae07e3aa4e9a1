"""The health checks of the containers, run as Docker runs them, against real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import yaml

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command, kill_group
from script.stack.running_server import CHECKOUT
from tests.support.gunicorn_server import serving
from tests.support.polling import eventually
from tests.system.processes import halted, send

pytestmark = pytest.mark.system

DRAMATIQ = ("dramatiq", "workers.main", "--processes", "2", "--threads", "1")
PROCESSES = {
    "worker": (*DRAMATIQ, "--queues", "scans", "images"),
    "bulk": (*DRAMATIQ, "--queues", "renders", "analytics", "maintenance"),
    "scheduler": ("workers.scheduler",),
    "relay": ("workers.relay",),
    "catalog": ("workers.catalog_server",),
}
UNREACHABLE = {"DATABASE_URL": "postgresql://waymark@127.0.0.1:9/waymark", "REDIS_URL": "redis://127.0.0.1:9/0"}


def is_healthy(argv: list[str], within: float = 60, **variables: str) -> bool:
    """Run a check. Docker ends one that takes too long, and counts it as a failure."""
    try:
        return subprocess.run(argv, env=os.environ | variables, timeout=within, capture_output=True).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def check_of_image() -> list[str]:
    instruction = re.search(r"^HEALTHCHECK .*? CMD (\[.*\])$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert instruction is not None
    argv: list[str] = json.loads(instruction[1])
    return argv


def check_of_service(name: str, seconds: int) -> list[str]:
    """Return the check with heartbeats that are stale after `seconds`, not after a minute."""
    service = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"][name]
    kind, command = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert "-mmin +1 " in command
    return ["sh", "-c", command.replace("$$", "$").replace("-mmin +1 ", f"-mmin +{seconds / 60} ")]


@contextmanager
def running(name: str, directory: Path, **variables: str) -> Iterator[None]:
    """Run a process that writes heartbeats to the directory, under keys of its own in Redis."""
    environment = os.environ | {
        "HEARTBEAT_DIR": str(directory),
        "REDIS_PREFIX": "health-checks",
        "GRPC_LISTEN": f"{LOOPBACK}:{free_port()}",
        "PYTHONPATH": str(CHECKOUT),
        **variables,
    }
    command = Command((sys.executable, "-m", *PROCESSES[name]), environment=environment, directory=CHECKOUT)
    with open_log(directory.with_suffix(".log")) as log:
        process = subprocess.Popen(
            command.leashed(), cwd=CHECKOUT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        kill_group(process.pid)
        process.wait()


def test_web_is_unhealthy_once_it_hangs_or_dies(log_file: Callable[[str], Path]) -> None:
    with serving(log_file("web"), **UNREACHABLE) as port:
        assert is_healthy(check_of_image(), PORT=str(port))
        pids = [each.pid for each in psutil.process_iter() if serves(each, port)]
        assert pids
        with halted(pids):
            # Nothing that is stopped can answer, however long the check waits.
            assert not is_healthy(check_of_image(), within=1, PORT=str(port))
        assert is_healthy(check_of_image(), PORT=str(port))
    assert not is_healthy(check_of_image(), PORT=str(port))


def serves(process: psutil.Process, port: int) -> bool:
    try:
        return process.environ().get("PORT") == str(port) and "gunicorn" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize("stores", [{}, UNREACHABLE], ids=["stores", "no stores"])
def test_process_is_unhealthy_once_it_hangs_or_dies(
    stores: dict[str, str], tmp_path: Path, conn: psycopg.Connection
) -> None:
    directories = {name: tmp_path / name for name in PROCESSES}
    for directory in directories.values():
        directory.mkdir()
    assert healthy(directories) == set()
    with ExitStack() as stack:
        for name, directory in directories.items():
            stack.enter_context(running(name, directory, **stores))
        eventually(lambda: healthy(directories) == PROCESSES.keys())
        # A single one of the worker's processes is enough.
        pids = [min(int(file.name.rpartition("-")[2]) for file in each.iterdir()) for each in directories.values()]
        with halted(pids):
            eventually(lambda: healthy(directories) == set())
        eventually(lambda: healthy(directories) == PROCESSES.keys())
        send(signal.SIGKILL, pids)
        eventually(lambda: healthy(directories) == set())


def healthy(directories: dict[str, Path]) -> set[str]:
    """Run the checks with heartbeats that are stale after three seconds. Return the names that pass."""
    return {
        name
        for name, directory in directories.items()
        if is_healthy(check_of_service(name, seconds=3), HEARTBEAT_DIR=str(directory))
    }


@pytest.mark.long
def test_worker_with_a_halted_process_fails_its_liveness_probe(tmp_path: Path, conn: psycopg.Connection) -> None:
    directory, port = tmp_path / "worker", free_port()
    directory.mkdir()

    def probe() -> int:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/healthz", timeout=30) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    with running("worker", directory, METRICS_PORT=str(port), METRICS_HOST=LOOPBACK, METRICS_DIR=str(tmp_path)):
        eventually(lambda: list(directory.glob("worker-scans-*")))
        pids = {int(file.name.rpartition("-")[2]) for file in directory.glob("worker-scans-*")}
        eventually(lambda: probe() == 200)
        with halted([min(pids)]):
            eventually(lambda: probe() == 503, within=120)
        eventually(lambda: probe() == 200)
