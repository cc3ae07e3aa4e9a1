"""The README and the guides: shell commands run, links lead to something, named modules and settings exist."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from script.stack import RunningServer
from script.stack.running_server import CHECKOUT
from shared.settings import Settings

README = CHECKOUT / "README.md"
GUIDES = ("api-guide", "players", "administration", "operations")
PAGES = [README, *sorted((CHECKOUT / "docs").rglob("*.md")), CHECKOUT / "bench" / "README.md"]

# A response with an error status is recorded, also inside of pipelines and substitutions.
CURL = """
curl() { command curl --fail-with-body "$@" || { echo "curl $*" >> failures; return 22; }; }
"""

TOUR_FILES = ".waymark/tour"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


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


@needs_curl
@pytest.mark.system
@pytest.mark.parametrize("guides", [GUIDES[:2], GUIDES[2:]], ids=" and ".join)
def test_commands_succeed_after_the_tour(server: RunningServer, tmp_path: Path, guides: tuple[str, ...]) -> None:
    """The tour, which can be repeated, ends in a reward and an image. A guide continues it."""
    for guide in guides:
        printed = run_commands(server, tmp_path, README, CHECKOUT / "docs" / f"{guide}.md").splitlines()
        image = tmp_path / TOUR_FILES / "code.svg"

        assert printed[:2] == ["not_present", "success"]
        assert "'item': 'spy_gadget', 'quantity': 1" in printed[2]
        assert image.read_text().startswith("<svg")
        image.unlink()
        assert [file.name for file in tmp_path.iterdir()] == [".waymark"]


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{guide}.md" for guide in GUIDES)])
def test_commands_write_only_to_a_directory_that_git_ignores(name: str) -> None:
    page = CHECKOUT / name
    written = re.findall(r"(?:^| )(?:-o|>) *(\S+)", shell_commands(page), re.MULTILINE)

    assert f"/{TOUR_FILES.split('/', maxsplit=1)[0]}/" in (CHECKOUT / ".gitignore").read_text().splitlines()
    assert f"files={TOUR_FILES}\n" in README.read_text()
    assert [path for path in written if not path.startswith(("$files/", "/dev/null", "&"))] == []
    assert "psql" not in shell_commands(page)


def test_field_prints_a_response_without_the_field() -> None:
    helpers = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)[1]
    for response, field in (('{"title": "Conflict"}', "id"), ("<html>", "id"), ('{"items": []}', "items.0.id")):
        commands = helpers.replace("mkdir", ": mkdir") + f"printf %s '{response}' | field {field}"
        done = subprocess.run(["sh", "-c", commands], capture_output=True, text=True, check=False)  # noqa: S607
        assert response in done.stderr
        assert done.returncode != 0


def test_links_lead_to_a_file_and_a_heading() -> None:
    broken = [
        f"{page.relative_to(CHECKOUT)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())
        if not leads_somewhere(page, link)
    ]
    assert broken == []


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, fragment = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not fragment or fragment in anchors(target))


def anchors(page: Path) -> set[str]:
    """Return the fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_python_modules_and_files_in_the_pages_exist() -> None:
    text = "".join(page.read_text() for page in PAGES)
    modules = set(re.findall(r"python -m ((?:workers|shared|migrations|bench)[\w.]*\w)", text))
    files = set(re.findall(r"`((?:web|workers|shared|migrations|script|tests|bench)/[\w/.]+)`", text))

    assert [module for module in modules if find_spec(module) is None] == []
    assert [file for file in files if not (CHECKOUT / file).exists()] == []


def test_settings_in_the_pages_exist() -> None:
    """A word in capitals with an underscore is a setting, unless its line names the Python file that it is in."""
    example = (CHECKOUT / ".env.example").read_text()
    in_example = re.findall(r"^#?([A-Z_0-9]+)=", example, re.MULTILINE)
    settings = {name.upper() for name in Settings.model_fields} | set(in_example)
    others = {
        "WAYMARK_VENV",
        "WAYMARK_REPOSITORY",
        "EXTRA_REQUIREMENTS",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "PR_SET_PDEATHSIG",
        "SCHED_IDLE",
        "ALLOW_CONNECTIONS",
        "AWS_DEFAULT_REGION",
        "DATA_SOURCE_NAME",
        "SO_SNDTIMEO",
        "TCP_USER_TIMEOUT",
    }
    # Secrets and variables of workflows.
    others |= {"SSH_ORIGINAL_COMMAND", "DEPLOY_ADDRESS", "DEPLOY_KNOWN_HOSTS", "DEPLOY_SSH_KEY"}
    named = {
        name
        for page in PAGES
        for line in page.read_text().splitlines()
        for name in re.findall(r"(?<![\w.])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=[`=,)\s])", line)
        if ".py`" not in line
    }
    assert named - settings - others == set()


def test_decisions_have_numbers_without_a_gap_and_one_form() -> None:
    directory = CHECKOUT / "docs" / "decisions"
    index = (directory / "README.md").read_text()
    records = sorted(directory.glob("0*.md"))

    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for number, record in enumerate(records, 1):
        text = record.read_text()
        title = re.match(rf"# {number}\. (.+)\n", text)
        assert title, record.name
        assert f"| [{number}]({record.name}) | {title[1]} |" in index
        headings = ["Context", "Decision", "Consequences", "Alternatives considered"]
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == headings, record.name


def test_comments_name_decisions_that_exist() -> None:
    numbers = {record.name[:4] for record in (CHECKOUT / "docs" / "decisions").glob("0*.md")}
    for folder in ("shared", "web", "workers"):
        for module in (CHECKOUT / folder).rglob("*.py"):
            assert set(re.findall(r"docs/decisions/(\d{4})", module.read_text())) <= numbers, module
