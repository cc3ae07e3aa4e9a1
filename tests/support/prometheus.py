"""Metrics as Prometheus reads them: from the ports of a server's processes, or from a real Prometheus."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from prometheus_client.parser import text_string_to_metric_families

from script.stack import RunningServer
from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.running_server import CHECKOUT
from tests.support.polling import eventually

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

PROMTOOL = shutil.which("promtool") or ""
PROMETHEUS = shutil.which("prometheus") or ""
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (apt-get install prometheus)")
needs_prometheus = pytest.mark.skipif(not PROMETHEUS, reason="prometheus is not installed (apt-get install prometheus)")


def targets(server: RunningServer) -> dict[str, str]:
    """Return the address of each process's port for metrics, by the name of the process."""
    found = json.loads((server.data / "metrics-targets.json").read_text())
    return {entry["labels"]["process"]: entry["targets"][0] for entry in found}


def scrape(address: str) -> Samples:
    """Return all samples, by name and labels. Empty while the port is closed, as during a restart."""
    try:
        response = urllib3.request("GET", f"http://{address}/metrics", retries=False, timeout=10)
    except urllib3.exceptions.NewConnectionError:
        return {}
    assert response.status == 200, response.data
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.data.decode())
        for sample in family.samples
    }


def lint(address: str) -> str:
    """Return what promtool finds wrong with the metrics of a port. Empty without promtool."""
    if not PROMTOOL:
        return ""
    text = urllib3.request("GET", f"http://{address}/metrics", retries=False, timeout=10).data
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, timeout=60)
    return (checked.stdout + checked.stderr).decode()


def total(samples: Samples, metric: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels."""
    return sum(
        value for (name, own), value in samples.items() if name == metric and labels.items() <= dict(own).items()
    )


class Prometheus:
    """A real Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **fields: str) -> Any:
        response = urllib3.request("GET", f"{self.url}/api/v1/{path}", fields=fields, retries=False, timeout=30)
        body = response.json()
        assert body["status"] == "success", (fields, body)
        return body["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the series of an instant query."""
        series: list[Any] = self.get("query", query=expression)["result"]
        return series


@contextmanager
def scraping(server: RunningServer, directory: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes all processes of a server every second, with Waymark's rules."""
    config = yaml.safe_load((CHECKOUT / "monitoring" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    job["file_sd_configs"] = [{"files": [str(server.data / "metrics-targets.json")]}]
    with running_prometheus(config, [CHECKOUT / "monitoring" / "rules" / "waymark.yml"], directory) as running:
        yield running


@contextmanager
def running_prometheus(config: dict[str, Any], rules: list[Path], directory: Path) -> Iterator[Prometheus]:
    """Run a Prometheus with this configuration, that scrapes every second, and with these rules."""
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(rule) for rule in rules]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"{LOOPBACK}:{free_port()}"
    argv = [
        PROMETHEUS,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with open_log(directory / "prometheus.log") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        running = Prometheus(f"http://{address}")
        eventually(lambda: _is_ready(running.url))
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/-/ready", retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False
