"""Metrics of requests, and web's /metrics: the labels are Waymark's own, and the token is required if it is set."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from shared.infra.health import required_migration
from shared.version import __version__
from tests.support.metrics import grows_by, value_of
from web.api import metrics as metrics_api

TOKEN = "6f1ad0c94b7e52d8"


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/healthz", {"route": "/healthz", "method": "GET", "status": "200"}),
        ("GET", "/healthz?none=1", {"route": "/healthz", "method": "GET", "status": "422"}),
        ("POST", "/scan", {"route": "/scan", "method": "POST", "status": "401"}),
        (
            "GET",
            f"/scan/{UUID(int=0)}",
            {"route": "/scan/<scan_id>", "method": "GET", "status": "401"},
        ),
        ("GET", "/no/such/path", {"route": "none", "method": "GET", "status": "404"}),
        ("BREW", "/scan", {"route": "none", "method": "other", "status": "405"}),
    ],
)
def test_request_is_counted_by_route(client: Any, method: str, path: str, labels: dict[str, str]) -> None:
    with grows_by(1, "waymark_http_requests_total", **labels):
        assert client.open(path, method=method).status_code == int(labels["status"])
    seconds = {name: value for name, value in labels.items() if name != "status"}
    assert value_of("waymark_http_request_duration_seconds_count", **seconds) > 0
    assert value_of("waymark_http_requests_in_progress") == 0


def test_request_is_in_progress_until_its_end(app: Flask, clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def healthz(**_: Any) -> Any:
        seen.append(value_of("waymark_http_requests_in_progress"))
        raise ZeroDivisionError

    vars(healthz).update(vars(app.view_functions["health.healthz"]))
    monkeypatch.setitem(app.view_functions, "health.healthz", healthz)

    assert app.test_client().get("/healthz").status_code == 500
    assert seen == [1.0]
    assert value_of("waymark_http_requests_in_progress") == 0


def test_metrics_have_the_format_of_prometheus(app: Flask, client: Any) -> None:
    app.extensions[metrics_api.EXTENSION].clear()

    response = client.get("/metrics")

    assert response.status_code == 200
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert families["waymark_build_info"].samples[0].labels == {
        "revision": "",
        "schema": required_migration(),
        "version": __version__,
    }
    assert {"qr_cache_requests", "waymark_http_requests", "waymark_http_request_duration_seconds"} <= families.keys()
    assert all(family.documentation for family in families.values())


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (None, 401),
        ("Bearer", 401),
        (f"Bearer {TOKEN}x", 401),
        (TOKEN, 401),
        ("Bearer \xff", 401),
    ],
)
def test_metrics_require_the_token_if_it_is_set(serve: Callable[..., Any], header: str | None, status: int) -> None:
    client = serve(METRICS_TOKEN=TOKEN)
    response = client.get("/metrics", headers={} if header is None else {"Authorization": header})
    assert response.status_code == status
    assert (b"waymark_" in response.data) == (status == 200)
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
