"""The manifests as a cluster gets them. Tests need `kubectl`, which renders without a server."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
OVERLAYS = ("production", "trial")
Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    """Return the manifests of each overlay."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return {name: render(CHECKOUT / "kubernetes" / "overlays" / name) for name in OVERLAYS}


def render(directory: Path) -> list[Manifest]:
    command = ["kubectl", "kustomize", str(directory)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stderr == ""
    return list(yaml.safe_load_all(result.stdout))


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    return rendered[request.param]


def workloads(overlay: list[Manifest]) -> dict[str, Manifest]:
    """Return the pods of Waymark's own workloads by name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in overlay
        if each["kind"] in ("Deployment", "Job")
    }
