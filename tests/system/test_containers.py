"""docker-compose.yml and Dockerfile, as far as they can be checked without an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from script.stack.procfile import read_procfile
from shared.settings import Settings

CHECKOUT = Path(__file__).parents[2]
SECRETS = {"POSTGRES_PASSWORD": "from-the-test", "JWT_SECRET": "also-from-the-test"}

needs_compose = pytest.mark.skipif(
    shutil.which("docker-compose") is None, reason="docker-compose is not installed (apt-get install docker-compose)"
)


def config(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`docker-compose config`, which resolves and validates the file and needs no engine."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
    no_settings = tmp_path / "empty.env"
    no_settings.touch()
    argv = ["docker-compose", "--env-file", str(no_settings), "-f", str(CHECKOUT / "docker-compose.yml"), "config"]
    return subprocess.run(argv, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    outcome = config(tmp_path, **SECRETS)
    assert outcome.returncode == 0, outcome.stderr
    found: dict[str, Any] = yaml.safe_load(outcome.stdout)["services"]
    return found


@needs_compose
def test_every_process_waits_for_the_release_and_is_watched(services: dict[str, Any]) -> None:
    processes = read_procfile(CHECKOUT / "Procfile").keys()
    assert services.keys() == {*processes, "postgres", "redis"}
    for name in processes - {"release"}:
        assert services[name]["depends_on"]["release"] == {"condition": "service_completed_successfully"}
    for name in services.keys() - {"release"}:
        assert services[name]["healthcheck"]["test"], name


def test_every_setting_of_quests_is_passed_on() -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    passed = compose["x-waymark"]["environment"].keys() | compose["services"]["catalog"]["environment"].keys()
    named = {name.upper() for name in Settings.model_fields}
    assert {name for name in named if name.startswith("GRPC_") or name.endswith("_QUEST")} <= passed


ABOUT_PEOPLE = (
    "RATE_LIMIT",
    "OUTSIDE_",
    "REQUEST_",
    "TRUSTED_",
    "ALLOWED_",
    "ACCESS_",
    "REFRESH_",
    "PASSWORD_",
    "GENERATE_",
)
OF_CONTAINERS = {"GRPC_SERVER_URL", "LOG_FORMAT", "PUBLIC_URL", "WAYMARK_ENV"}
"""Where a container differs from a process that is started by hand."""


def test_every_setting_of_people_and_edges_is_passed_on_with_its_default() -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text()
    web = yaml.safe_load(text)["services"]["web"]["environment"]
    fields = {name.upper(): field for name, field in Settings.model_fields.items()}
    assert {name for name in fields if name.startswith(ABOUT_PEOPLE)} <= web.api.api_keys()
    for name, told in re.findall(r"([A-Z_]+): \$\{\1:-([^}]*)\}", text):
        if name in fields.keys() - OF_CONTAINERS:
            default = fields[name].default
            expected = (
                "" if default in (None, ()) else str(default).lower() if isinstance(default, bool) else str(default)
            )
            assert told.strip('"') == expected, name


def test_the_catalog_is_asked_for_its_health() -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    test = compose["services"]["catalog"]["healthcheck"]["test"]
    assert test == ["CMD", "python", "-m", "workers.catalog_server", "check"]


@needs_compose
def test_redis_holds_a_queue(services: dict[str, Any]) -> None:
    command = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


@needs_compose
def test_only_web_is_published(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["web"]


@needs_compose
@pytest.mark.parametrize("secret", SECRETS)
def test_does_not_start_without_its_secrets(tmp_path: Path, secret: str) -> None:
    outcome = config(tmp_path, **{name: value for name, value in SECRETS.items() if name != secret})
    assert outcome.returncode != 0
    assert f"set {secret}" in outcome.stderr


def test_the_image_runs_what_the_procfile_says_as_nobody_special() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    web = read_procfile(CHECKOUT / "Procfile")["web"].replace('"', "")
    assert yaml.safe_load(dockerfile.rpartition("CMD ")[2]) == web.split()
    assert "\nUSER waymark\n" in dockerfile
    assert "pip install --no-deps --require-hashes --requirement requirements.txt" in dockerfile
    assert "pip check" in dockerfile
