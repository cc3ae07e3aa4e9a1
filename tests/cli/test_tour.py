"""The tour of the command line in `docs/command-line.md`: its commands succeed in their order."""

import re
import shlex
import time
from pathlib import Path

import pytest

from shared.infra.db import Conn
from shared.infra.logging import configure_command
from tests.cli.reference import PAGE
from tests.conftest import PASSWORD
from tests.renders.factories import work
from tests.support.command_line import run
from workers import imports

SECTION = "## The first ten minutes"


def work_on_everything() -> None:
    """Do what the process bulk does while a command waits."""
    imports.run_pending()
    work()


def test_commands_of_the_tour_succeed(conn: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure_command()  # the logs of workers are no output of the command
    monkeypatch.setattr(time, "sleep", lambda _seconds: work_on_everything())
    monkeypatch.chdir(tmp_path)
    section = PAGE.read_text().partition(SECTION)[2].partition("\n## ")[0]
    (csv,) = re.findall(r"^```csv\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    (tmp_path / "codes.csv").write_text(csv)
    commands = [shlex.split(line) for line in re.findall(r"^\$ script/waymark (.*)$", section, re.MULTILINE)]
    assert commands.pop() == ["doctor"]  # tests/cli/test_doctor.py

    outputs = []
    for command in commands:
        asks = ["--password-stdin"] if command[:2] == ["users", "create"] else []
        result = run(*command, *asks, stdin=f"{PASSWORD}\n" if asks else None)
        assert result.exit_code == 0, (command, result.output)
        outputs.append(result.stdout)

    for part in (
        "city-quest",
        "2 codes added",
        "NORTH-GATE",
        "Rendered 2 of 2 codes into labels.pdf",
        "Created waymark-",
    ):
        assert part in "".join(outputs)
    assert outputs[commands.index(["qr", "--read", "poster.svg"])] == "https://codes.example/s/NORTH-GATE\n"
