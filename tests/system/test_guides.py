"""The shell commands of the README and of the guides, run against a server."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from script.stack import RunningServer
from script.stack.running_server import CHECKOUT

README = CHECKOUT / "README.md"
GUIDES = ("api-guide", "players", "administration", "operations")

# A response with an error status is recorded, also inside of pipelines and substitutions.
CURL = """
curl() { command curl --fail-with-body "$@" || { echo "curl $*" >> failures; return 22; }; }
"""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


def shell_commands(page: Path) -> str:
    """The blocks marked `sh`, without those that start Waymark itself. Blocks marked `console` need an installation."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return "".join(block for block in blocks if not block.startswith("script/"))


def run_commands(server: RunningServer, directory: Path, *pages: Path) -> str:
    """Run the pages' commands in one shell, as a reader pastes them. Return what they print."""
    commands = CURL + "".join(map(shell_commands, pages))
    done = subprocess.run(
        ["sh", "-eu"],  # noqa: S607
        input=commands.replace("http://127.0.0.1:8000", server.base_url),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    failures = directory / "failures"
    assert not failures.exists(), f"{failures.read_text()}{done.stdout}{done.stderr}"
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tour_of_the_readme_ends_in_a_reward_and_an_image(server: RunningServer, tmp_path: Path) -> None:
    printed = run_commands(server, tmp_path, README).splitlines()

    assert printed[:3] == ["not_present", "success", "[{'item': 'spy_gadget', 'quantity': 1}]"]
    assert (tmp_path / "code.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("guide", GUIDES)
def test_commands_of_a_guide_succeed_after_the_tour(server: RunningServer, tmp_path: Path, guide: str) -> None:
    run_commands(server, tmp_path, README, CHECKOUT / "docs" / f"{guide}.md")
