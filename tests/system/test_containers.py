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

NAMED_SETTINGS = {name.upper() for name in Settings.model_fields}
CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
OPENTELEMETRY = {
    f"OTEL_{name}" for name in ("EXPORTER_OTLP_HEADERS", "SERVICE_NAME", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG")
}
"""Read by boto3 from the environment."""
SET_BY_COMPOSE = {
    "METRICS_DIR",
    "METRICS_HOST",
    "METRICS_PORT",
    "DATABASE_URL",
    "HEARTBEAT_DIR",
    "HOST",
    "PORT",
    "REDIS_URL",
    "WAYMARK_DATA",
}
"""Addresses and paths inside a container, whatever they are outside."""
WITH_ANOTHER_DEFAULT = {"GRPC_LISTEN", "GRPC_SERVER_URL", "LOG_FORMAT", "PUBLIC_URL", "WAYMARK_ENV"}

OF_PROFILES = ("proxy", "prometheus", "grafana", "rabbitmq", "pgbouncer")


def compose_command() -> list[str]:
    """Return the command of Docker Compose: the plugin of docker, else the program of Debian, else nothing."""
    plugin = ["docker", "compose"]
    if shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True).returncode == 0:
        return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else []


COMPOSE = compose_command()
needs_compose = pytest.mark.skipif(
    not COMPOSE, reason="Docker Compose is not installed (apt-get install docker-compose)"
)


def config(tmp_path: Path, variables: dict[str, str], *overrides: str) -> subprocess.CompletedProcess[str]:
    """Resolve and validate the file with these variables in .env. Needs no engine."""
    profiles = "edge,monitoring,rabbitmq,pgbouncer"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COMPOSE_PROFILES": profiles}
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    files = [part for name in ("docker-compose.yml", *overrides) for part in ("-f", str(CHECKOUT / name))]
    argv = [*COMPOSE, "--env-file", str(env_file), *files, "config"]
    return subprocess.run(argv, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    outcome = config(tmp_path, SECRETS)
    assert outcome.returncode == 0, outcome.stderr
    found: dict[str, Any] = yaml.safe_load(outcome.stdout)["services"]
    return found


@needs_compose
def test_every_process_waits_for_the_release_and_is_watched(services: dict[str, Any]) -> None:
    processes = read_procfile(CHECKOUT / "Procfile").keys() - {"web"} | {"web-a", "web-b"}
    assert services.keys() == {*processes, "postgres", "redis", *OF_PROFILES}
    for name in processes - {"release"}:
        assert services[name]["depends_on"]["release"]["condition"] == "service_completed_successfully"
    # The image checks web. script/deploy waits for it.
    unchecked = {name for name, service in services.items() if "healthcheck" not in service}
    assert unchecked == {"web-a", "web-b", "prometheus", "grafana", "pgbouncer"}


def waymark_services(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name not in ("postgres", "redis", *OF_PROFILES)}


@needs_compose
def test_script_deploy_replaces_every_process(services: dict[str, Any]) -> None:
    listed = re.findall(r'^web="(.*)"$', (CHECKOUT / "deploy/compose.sh").read_text(), re.MULTILINE)
    listed += re.findall(r'processes="\$web (.*)"', (CHECKOUT / "script/deploy").read_text())
    assert set(" ".join(listed).split()) == waymark_services(services).keys() - {"release"}
    # Each replaced container has the version, and nothing that two containers cannot share.
    for service in waymark_services(services).values():
        assert service["image"] == "waymark:latest"
        assert not {"ports", "container_name", "build"} & service.keys()


@needs_compose
def test_trial_builds_the_image_and_publishes_one_web_process(tmp_path: Path) -> None:
    outcome = config(tmp_path, {**SECRETS, "PORT": "8123"}, "docker-compose.trial.yml")
    assert outcome.returncode == 0, outcome.stderr
    services = waymark_services(yaml.safe_load(outcome.stdout)["services"])
    assert all("build" in service for service in services.values())
    assert [name for name, service in services.items() if "ports" in service] == ["web-a"]
    assert "8123" in str(services["web-a"]["ports"])


def test_every_container_gets_every_setting() -> None:
    services = waymark_services(yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"])
    for service in services.values():
        variables = service["environment"]
        # A variable without a value here has the value of .env or of the shell.
        passed = {name for name, value in variables.items() if value is None or f"${{{name}:" in str(value)}
        assert (NAMED_SETTINGS | CREDENTIALS) - passed == SET_BY_COMPOSE
        assert passed <= NAMED_SETTINGS | CREDENTIALS | OPENTELEMETRY | {"WEB_CONCURRENCY"}


@needs_compose
def test_every_container_has_the_values_of_the_env_file(tmp_path: Path) -> None:
    values = {name: f"value-of-{name}" for name in NAMED_SETTINGS | CREDENTIALS | {"WEB_CONCURRENCY", *SECRETS}}
    outcome = config(tmp_path, values)
    assert outcome.returncode == 0, outcome.stderr
    services = yaml.safe_load(outcome.stdout)["services"]
    for name, service in waymark_services(services).items():
        variables = service["environment"]
        wrong = {each for each, value in values.items() if each in NAMED_SETTINGS and variables.get(each) != value}
        assert wrong == SET_BY_COMPOSE, name
        assert "value-of-POSTGRES_PASSWORD@postgres:5432" in variables["DATABASE_URL"]


@needs_compose
def test_a_setting_without_a_value_keeps_its_default(services: dict[str, Any]) -> None:
    passed = {name: value for name, value in services["web-a"]["environment"].items() if value is not None}
    assert passed.keys() & NAMED_SETTINGS == SET_BY_COMPOSE - {"HOST"} | WITH_ANOTHER_DEFAULT | {"JWT_SECRET"}


@needs_compose
def test_redis_holds_a_queue(services: dict[str, Any]) -> None:
    command = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


@needs_compose
def test_only_the_proxy_is_published(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "ports" in service} == {"proxy", "grafana"}
    (port,) = services["grafana"]["ports"]
    # Compose 2 prints the parts of what Compose 1 prints as one word.
    assert port == "127.0.0.1:3000:3000/tcp" or (port["host_ip"], port["published"]) == ("127.0.0.1", "3000")


@needs_compose
def test_prometheus_sends_the_token_of_the_metrics(tmp_path: Path) -> None:
    """It reads the token from a file, which its container writes before it becomes Prometheus."""
    services = yaml.safe_load(config(tmp_path, {**SECRETS, "METRICS_TOKEN": "'a $b'"}).stdout)["services"]
    prometheus = services["prometheus"]
    job = yaml.safe_load((CHECKOUT / "deploy/prometheus.yml").read_text())["scrape_configs"][0]
    (tmp_path / "prometheus").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "prometheus").chmod(0o755)
    path = job["authorization"]["credentials_file"]
    argv = [word.replace("$$", "$").replace(path, str(tmp_path / "token")) for word in prometheus["entrypoint"]]
    token = prometheus["environment"]["METRICS_TOKEN"].replace("$$", "$")

    done = subprocess.run(
        [*argv, *prometheus["command"]],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "METRICS_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.split() == prometheus["command"], done.stderr
    assert (tmp_path / "token").read_text() == "a $b"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(shutil.which("caddy") is None, reason="caddy is not installed (apt-get install caddy)")
def test_caddy_accepts_the_configuration_of_the_proxy(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PUBLIC_URL": "https://quest.example.org"}
    argv = ["caddy", "adapt", "--config", str(CHECKOUT / "deploy/Caddyfile"), "--validate"]
    outcome = subprocess.run(
        argv, env={**environment, "WAYMARK_WEB": "web-a:8000 web-b:8000"}, capture_output=True, text=True, timeout=60
    )
    assert outcome.returncode == 0, outcome.stderr
    assert all(upstream in outcome.stdout for upstream in ('"web-a:8000"', '"web-b:8000"'))


@needs_compose
@pytest.mark.parametrize("secret", SECRETS)
def test_does_not_start_without_its_secrets(tmp_path: Path, secret: str) -> None:
    outcome = config(tmp_path, {name: value for name, value in SECRETS.items() if name != secret})
    assert outcome.returncode != 0
    assert f"set {secret}" in outcome.stderr


def test_the_image_runs_what_the_procfile_says_without_privileges() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    web = read_procfile(CHECKOUT / "Procfile")["web"].replace('"', "")
    assert yaml.safe_load(dockerfile.rpartition("CMD ")[2]) == web.split()
    # With a name, Kubernetes refuses to start a container that has `runAsNonRoot: true`.
    assert "\nUSER 10001:10001\n" in dockerfile
    assert "\nSTOPSIGNAL SIGTERM\n" in dockerfile
    assert re.search(r"^ARG PYTHON=python:3\.12-slim@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]
    assert "groupadd --system --gid 10001 " in dockerfile
    assert "useradd --system --uid 10001 --gid 10001 " in dockerfile
    assert "pip install --no-deps --require-hashes --requirement requirements.txt" in dockerfile
    assert "pip check" in dockerfile
