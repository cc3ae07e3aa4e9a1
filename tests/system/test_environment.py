"""script/bootstrap and script/environment.py, with an empty requirements file in place of ours."""

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
    output, complaints = process.communicate(timeout=120)
    return process.returncode, output.strip(), complaints


def test_two_scripts_at_once_make_one_environment_and_a_later_one_none(venv: Path, requirements: Path) -> None:
    at_once = [bootstrap(venv, requirements) for _ in range(2)]
    outcomes = [outcome(process) for process in at_once]
    assert [(status, output) for status, output, _ in outcomes] == [(0, str(venv))] * 2
    assert sum("Installing" in complaints for _, _, complaints in outcomes) == 1

    assert outcome(bootstrap(venv, requirements)) == (0, str(venv), "")

    requirements.write_text("# changed\n")
    status, output, complaints = outcome(bootstrap(venv, requirements))
    assert (status, output) == (0, str(venv))
    assert "Installing" in complaints


def test_an_interrupted_install_is_done_again_from_nothing(venv: Path, requirements: Path) -> None:
    venv.mkdir()
    (venv / MARKER).write_text(json.dumps({"complete": False, "requirements": {}}))
    (venv / "half").touch()
    assert outcome(bootstrap(venv, requirements))[:2] == (0, str(venv))
    assert not (venv / "half").exists()


def test_what_others_made_is_left_alone(venv: Path, requirements: Path) -> None:
    venv.mkdir()
    (venv / "precious").touch()
    status, _, complaints = outcome(bootstrap(venv, requirements))
    assert status == 1
    assert "was not made by Waymark's scripts" in complaints
    assert [path.name for path in venv.iterdir()] == ["precious"]


def test_says_what_to_install_without_a_python(venv: Path, requirements: Path) -> None:
    status, _, complaints = outcome(bootstrap(venv, requirements, WAYMARK_PYTHON="/nonexistent/python"))
    assert status == 1
    assert "apt-get install python3 python3-venv" in complaints
    assert "brew install" in complaints


@pytest.mark.parametrize("script", ["demo", "server", "test", "bench"])
def test_every_script_explains_itself_without_an_environment(script: str) -> None:
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
