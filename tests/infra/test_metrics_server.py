"""The port for metrics of processes other than web."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from script.stack.ports import LOOPBACK, free_port
from shared.infra import health, metrics_files
from shared.infra.heartbeats import Heartbeat
from shared.settings import settings
from tests.support.polling import eventually
from workers import metrics_server
from workers.metrics_server import MetricsServer


@contextmanager
def serving() -> Iterator[str]:
    with MetricsServer(LOOPBACK, 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()


def get(url: str) -> tuple[int, str, str]:
    response = urllib3.request("GET", url, retries=False)
    return response.status, response.headers["Content-Type"], response.data.decode()


def test_port_serves_metrics_and_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: None) -> None:
    monkeypatch.setenv(metrics_files.DIRECTORY_VARIABLE, str(tmp_path))
    directory = tmp_path / metrics_files.HEARTBEATS
    directory.mkdir()
    with serving() as url:
        status, kind, text = get(f"{url}/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert [family.name for family in text_string_to_metric_families(text)]
        assert get(f"{url}/healthz")[0] == 200
        assert get(f"{url}/readyz")[0] == 200
        assert get(f"{url}/readyz?only=postgresql,migrations")[0] == 200
        assert get(f"{url}/readyz?only=mysql")[0] == 422
        assert get(f"{url}/")[0] == 404

        Heartbeat("relay").beat()
        assert get(f"{url}/healthz")[0] == 200
        (file,) = directory.iterdir()
        os.utime(file, (file.stat().st_mtime - 61,) * 2)

        status, kind, text = get(f"{url}/healthz")
        assert (status, kind) == (503, "application/problem+json")
        assert json.loads(text)["detail"] == f"Not running: relay-{os.getpid()}."


def test_readiness_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, clean: None) -> None:
    monkeypatch.setattr(health, "check_redis", lambda: {"redis": False})
    with serving() as url:
        status, _, text = get(f"{url}/readyz")
    assert (status, json.loads(text)["detail"]) == (503, "Not ready: redis.")


def test_process_works_without_its_port_and_gets_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers on one host can have the same METRICS_PORT: the second is scraped once the first has ended."""
    monkeypatch.setattr(metrics_server, "RETRY_SECONDS", 0.01)
    with MetricsServer(LOOPBACK, free_port()) as first, capture_logs() as lines:
        port = first.server_port
        changed = settings().model_copy(update={"metrics_port": port, "metrics_host": LOOPBACK})
        monkeypatch.setattr(metrics_server, "settings", lambda: changed)
        thread = threading.Thread(target=metrics_server.serve, daemon=True)
        thread.start()
        eventually(lambda: lines)
        assert thread.is_alive()
    assert [(line["event"], line["port"]) for line in lines] == [("metrics_port_unavailable", port)]
    eventually(lambda: is_served(port))


def is_served(port: int) -> bool:
    try:
        return get(f"http://{LOOPBACK}:{port}/metrics")[0] == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_no_port_is_opened_unless_it_is_set() -> None:
    before = threading.active_count()
    assert settings().metrics_port is None
    metrics_server.serve()
    metrics_server.start("relay")
    assert threading.active_count() == before
