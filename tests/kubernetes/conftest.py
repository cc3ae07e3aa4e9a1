"""The manifests as a cluster gets them. Tests need `kubectl`, which renders without a server."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from script.stack.procfile import read_procfile
from script.stack.running_server import CHECKOUT

PROCFILE = read_procfile(CHECKOUT / "Procfile")
OVERLAYS = ("production", "trial")
Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """Return the manifests of production with all components, and of the trial as it is."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    copy = copy_with_components(tmp_path_factory.mktemp("kubernetes"))
    return {"production": render(copy / "production"), "trial": render(CHECKOUT / "kubernetes" / "overlays" / "trial")}


def copy_with_components(directory: Path) -> Path:
    """Copy the manifests, and add every component to each overlay. Return the directory of the overlays."""
    shutil.copytree(CHECKOUT / "kubernetes", directory, dirs_exist_ok=True)
    for name in OVERLAYS:
        path = directory / "overlays" / name / "kustomization.yaml"
        kustomization = yaml.safe_load(path.read_text())
        components = sorted(each.name for each in (directory / "components").iterdir())
        kustomization["components"] = [f"../../components/{each}" for each in components]
        path.write_text(yaml.safe_dump(kustomization))
    return directory / "overlays"


def render(directory: Path) -> list[Manifest]:
    command = ["kubectl", "kustomize", str(directory)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stderr == ""
    return list(yaml.safe_load_all(result.stdout))


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    return rendered[request.param]


@pytest.fixture
def production(rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    return rendered["production"]


def pods(overlay: list[Manifest]) -> dict[str, Manifest]:
    """Return the pods of all workloads by name, without the stores of the trial."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in overlay
        if each["kind"] in ("Deployment", "Job")
    }


def workloads(overlay: list[Manifest]) -> dict[str, Manifest]:
    """Return the pods of the process types by name."""
    return {name: pod for name, pod in pods(overlay).items() if name in PROCFILE}


def only(overlay: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the manifest of this kind and name. The name of a ConfigMap continues with the hash of its content."""
    hashed = re.compile(rf"{name}-\w{{10}}") if kind == "ConfigMap" else re.compile(name)
    (found,) = [each for each in overlay if each["kind"] == kind and hashed.fullmatch(each["metadata"]["name"])]
    return found
