"""Metrics for Prometheus (text exposition format 0.0.4): those of all processes of this web server."""

from collections.abc import Iterator
from hmac import compare_digest
from typing import Any

from flask import Flask, Response, current_app, request
from flask_openapi import APIBlueprint, Tag

from shared.errors import CredentialsInvalid, CredentialsMissing
from shared.infra import cache
from shared.infra.event_loop import run_in_thread
from shared.infra.local_cache import CachedResult
from shared.infra.metrics import CONTENT_TYPE, Collector, CounterMetricFamily, render, render_collectors
from web.http.auth import public
from web.http.settings import current_settings

CACHE_SECONDS = 1.0
EXTENSION = "waymark_metrics"
EXAMPLE = 'waymark_http_requests_total{method="POST",route="/scan",status="202"} 1024.0'
TEXT: dict[str, Any] = {
    "description": "Metrics",
    "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
}

api = APIBlueprint("metrics", __name__, abp_tags=[Tag(name="Operations")])


class CacheLookups(Collector):
    """The lookups in caches, which Redis counts for all processes. No samples while Redis is unavailable."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "qr_cache_requests",
            "Cache lookups of the whole installation, by cache and result.",
            labels=("cache", "result"),
        )
        for (name, result), count in (cache.lookup_counts() or {}).items():
            family.add_metric((name, result), count)
        yield family


def init_app(app: Flask) -> None:
    """Create the cache of this process's output."""
    app.extensions[EXTENSION] = CachedResult(_render, CACHE_SECONDS)


def _render() -> bytes:
    return run_in_thread(render) + render_collectors([CacheLookups()])


@api.get("/metrics", responses={200: TEXT, 401: None})
@public
def metrics() -> Response:
    """Get metrics for Prometheus

    Metrics of all processes of this web server, and `qr_cache_requests_total` of the whole installation. If
    METRICS_TOKEN is set, send it as `Authorization: Bearer`. Otherwise block this route at the proxy if its numbers are
    not public. Without rate limit: the result is cached for a second.
    """
    token = current_settings().metrics_token
    if token is not None:
        header = request.headers.get("Authorization")
        if header is None:
            raise CredentialsMissing("Send METRICS_TOKEN as Authorization: Bearer.")
        if not compare_digest(header.encode(), f"Bearer {token.get_secret_value()}".encode()):
            raise CredentialsInvalid("The token is not METRICS_TOKEN.")
    text: CachedResult[bytes] = current_app.extensions[EXTENSION]
    return Response(text.get(), content_type=CONTENT_TYPE)
