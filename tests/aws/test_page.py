"""The commands and task definitions of docs/aws.md. moto imitates AWS: this shows their form, not their effect."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from script.stack.ports import LOOPBACK, free_port
from script.stack.procfile import read_procfile
from shared.settings import Settings

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "aws.md").read_text()
PROCFILE = read_procfile(CHECKOUT / "Procfile")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed (apt-get install jq)")
needs_aws = pytest.mark.skipif(not shutil.which("aws"), reason="the AWS CLI is not installed (pip install awscli)")


def run(directory: Path, script: str, **environment: str) -> None:
    """Run the script in a directory that holds the Procfile."""
    (directory / "Procfile").write_text((CHECKOUT / "Procfile").read_text())
    (directory / "shared").mkdir(exist_ok=True)
    done = subprocess.run(
        ["/bin/sh", "-euxc", script], cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def definitions(tmp_path: Path) -> dict[str, Any]:
    """Return the task definitions that step 7 writes, by process type."""
    written = [block for block in BLOCKS if "web.json" in block]
    names = {"account": "123456789012", "registry": "registry.example", "version": "1.2.3", "host": "quest.example.org"}
    names |= {name: f"arn:{name}" for name in ("database_secret", "redis_secret", "jwt_secret", "metrics_secret")}
    script = "aws() { :; }\n" + "".join(written)
    run(tmp_path, script, **names, AWS_DEFAULT_REGION="eu-central-1", bucket="waymark-files")
    return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}


@needs_jq
def test_each_process_type_has_a_definition_with_its_command_and_health_check(definitions: dict[str, Any]) -> None:
    assert definitions.keys() == PROCFILE.keys()
    for process, definition in definitions.items():
        (container,) = definition["containerDefinitions"]
        assert (definition["family"], container["name"]) == (f"waymark-{process}", process)
        command, check = container["command"], container.get("healthCheck", {"command": ["none"]})["command"][-1]
        if process == "web":
            assert " ".join(command) == PROCFILE["web"].replace('"', "")
            assert "127.0.0.1:8000/healthz" in check
        else:
            assert command == ["sh", "-c", f"exec {PROCFILE[process]}"]
            assert ("127.0.0.1:9100/healthz" in check) is (process != "release")
            assert "portMappings" not in container


@needs_jq
def test_definitions_set_what_settings_require_and_nothing_else(definitions: dict[str, Any]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    required = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
    for definition in definitions.values():
        (container,) = definition["containerDefinitions"]
        names = {each["name"] for each in (*container["environment"], *container["secrets"])}
        assert required <= names <= known


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Start an imitation of AWS, and return the environment in which the AWS CLI uses it."""
    from moto.moto_api import state_manager
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    # A task stops by itself, as `release` does, after some questions for its state.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1})
    server = ThreadedMotoServer(LOOPBACK, free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("docker", "curl"):
        (commands / name).write_text("#!/bin/sh\n")
        (commands / name).chmod(0o755)
    yield {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_PAGER": "",
        "NO_PROXY": LOOPBACK,
    }
    server.stop()
    state_manager.unset_transition("ecs::task")


@pytest.mark.long
@needs_jq
@needs_aws
def test_the_commands_run_in_the_order_of_the_page(
    aws: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    acm = boto3.client("acm", region_name="eu-central-1")
    certificate = acm.request_certificate(DomainName="quest.example.org")["CertificateArn"]
    script = re.sub(r"^certificate=.*$", f"certificate={shlex.quote(certificate)}", "".join(BLOCKS), flags=re.MULTILINE)
    # The imitation starts no tasks, so its services never become stable.
    script = re.sub(r"^ *aws ecs wait services-stable .*$", ":", script, flags=re.MULTILINE)
    run(tmp_path, script)

    ecs = boto3.client("ecs", region_name="eu-central-1")
    services = {arn.rpartition("/")[2] for arn in ecs.list_services(cluster="waymark", maxResults=100)["serviceArns"]}
    assert services == PROCFILE.keys() - {"release"}
    (web,) = ecs.describe_services(cluster="waymark", services=["web"])["services"]
    assert "waymark-web" in web["taskDefinition"]
    assert web["loadBalancers"][0]["containerPort"] == 8000
