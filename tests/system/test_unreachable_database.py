"""Each command and process reports an unreachable DATABASE_URL in one line, without its password."""

import os
import socket
import subprocess
import sys

import pytest

from script.stack.running_server import CHECKOUT

pytestmark = pytest.mark.system

PASSWORD = "vR8qLz2M5xTe"
UNREACHABLE = f"postgresql://waymark:{PASSWORD}@127.0.0.1:9/waymark"
ATTEMPTS = 4
COMMANDS = [
    ("migrations",),
    ("shared.infra.health",),
    ("workers.cli", "keys", "list", "park"),
    ("workers.cli", "cleanup"),
    ("workers.cli", "quests", "list", "--json"),
]


def start(*module: str, url: str = UNREACHABLE) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        (sys.executable, "-m", *module),
        cwd=CHECKOUT,
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_prints_one_line(command: tuple[str, ...]) -> None:
    process = start(*command)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == 1
    assert len(output.splitlines()) == 1
    assert ("PostgreSQL is unavailable: " in output and "port 9 failed" in output) or "not ready: postgresql" in output
    assert PASSWORD not in output


@pytest.mark.parametrize("name", ["scheduler", "relay"])
def test_leader_logs_an_outage_once_and_keeps_trying(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        refusing.settimeout(60)
        url = f"postgresql://waymark:{PASSWORD}@127.0.0.1:{refusing.getsockname()[1]}/waymark"
        process = start(f"workers.{name}", url=url)
        try:
            for _ in range(ATTEMPTS):
                refusing.accept()[0].close()
        finally:
            process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.count("database_unavailable") == len(output.splitlines()) == 1
    assert PASSWORD not in output
