"""script/bootstrap and script/environment.py, with an empty requirements file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
MARKER = "waymark-environment.json"
PROGRAM = "import sys; print(sys.prefix)"


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.txt"
    file.touch()
    return file


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return tmp_path / "environment with a space"


def bootstrap(venv: Path, requirements: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "HOME": "", "WAYMARK_VENV": str(venv), "WAYMARK_PYTHON": sys.executable, **variables}
    return subprocess.Popen(
        [CHECKOUT / "script" / "bootstrap", requirements, "-c", PROGRAM],
        env=environment,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output.strip(), errors


def test_concurrent_scripts_replace_an_interrupted_install_once(venv: Path, requirements: Path) -> None:
    venv.mkdir()
    (venv / MARKER).write_text(json.dumps({"complete": False, "requirements": {}}))
    (venv / "half").touch()

    concurrent = [bootstrap(venv, requirements) for _ in range(2)]
    outcomes = [outcome(process) for process in concurrent]
    assert [(status, output) for status, output, _ in outcomes] == [(0, str(venv))] * 2
    assert sum("Installing" in errors for _, _, errors in outcomes) == 1
    assert not (venv / "half").exists()

    assert outcome(bootstrap(venv, requirements)) == (0, str(venv), "")

    requirements.write_text("# changed\n")
    status, output, errors = outcome(bootstrap(venv, requirements))
    assert (status, output) == (0, str(venv))
    assert "Installing" in errors


def test_a_directory_without_a_marker_is_not_changed(venv: Path, requirements: Path) -> None:
    venv.mkdir()
    (venv / "precious").touch()
    status, _, errors = outcome(bootstrap(venv, requirements))
    assert status == 1
    assert "was not made by Waymark's scripts" in errors
    assert [path.name for path in venv.iterdir()] == ["precious"]


def test_a_missing_python_is_reported_with_what_to_install(venv: Path, requirements: Path) -> None:
    status, _, errors = outcome(bootstrap(venv, requirements, WAYMARK_PYTHON="/nonexistent/python"))
    assert status == 1
    assert "apt-get install python3 python3-venv" in errors
    assert "brew install" in errors


@pytest.mark.parametrize("script", ["demo", "server", "test", "bench"])
def test_help_needs_no_environment(script: str) -> None:
    help_text = subprocess.run(
        [CHECKOUT / "script" / script, "--help"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert help_text.startswith(f"Usage: script/{script}")
    assert "#" not in help_text
