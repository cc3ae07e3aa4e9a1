"""`waymark doctor` beside a running server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from script.stack import RunningServer
from script.stack.running_server import CHECKOUT
from tests.support.polling import eventually
from tests.system.processes import halted

pytestmark = pytest.mark.system


def diagnose(server: RunningServer, **variables: str) -> dict[str, Any]:
    """Return the findings that are not ok, by component."""
    environment = os.environ | server.urls | variables
    environment |= {
        "PORT": server.base_url.rpartition(":")[2],
        "PUBLIC_URL": "https://codes.example",
        "WAYMARK_DATA": str(server.data),
        "FILES_DIR": "",
        "PATH": str(server.data),  # without a pg_dump of another version
    }
    done = subprocess.run(
        (sys.executable, "-m", "workers.cli", "doctor", "--json"),
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    findings = {finding["component"]: finding for finding in json.loads(done.stdout) if finding["state"] != "ok"}
    faults = {name for name in findings if findings[name]["state"] == "fault"}
    assert done.returncode == int(bool(faults))
    return {name: findings[name]["message"] for name in faults}


def test_running_server_has_no_fault(server: RunningServer) -> None:
    assert eventually(lambda: diagnose(server) == {})


def test_halted_processes_are_named(server: RunningServer) -> None:
    """They hold their connections, and answer nothing."""
    pids = [pid for name in ("worker", "relay") for pid in server.pids(name)]
    with halted(pids):
        found = eventually(lambda: {"worker", "relay"} <= set(diagnose(server, LEADER_SILENCE_SECONDS="5")))
        assert found


def test_script_uses_a_running_server(tmp_path: Path) -> None:
    """`script/waymark` reads the addresses of its stores, unless the environment has others."""
    folder, data = tmp_path / "script", tmp_path / "data"
    folder.mkdir()
    data.mkdir()
    (data / "urls.env").write_text(
        "DATABASE_URL=postgresql://embedded\nREDIS_URL=redis://embedded\nBASE_URL=http://127.0.0.1:1\n"
    )
    (data / "jwt_secret").write_text("hidden")
    (folder / "waymark").write_text((CHECKOUT / "script" / "waymark").read_text())
    (folder / "bootstrap").write_text('#!/bin/sh\necho "$DATABASE_URL $JWT_SECRET ${PUBLIC_URL-} $*"\n')
    for name in ("waymark", "bootstrap"):
        (folder / name).chmod(0o755)

    def run(**variables: str) -> str:
        environment = {"PATH": os.environ["PATH"], "WAYMARK_DATA": str(data)} | variables
        return subprocess.run(
            (folder / "waymark", "users", "list"), env=environment, capture_output=True, text=True, check=True
        ).stdout

    command = "requirements.txt -m workers.cli users list\n"
    assert run() == f"postgresql://embedded hidden http://127.0.0.1:1 {command}"
    assert run(DATABASE_URL="postgresql://other", JWT_SECRET="own") == f"postgresql://other own  {command}"
