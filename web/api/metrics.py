"""Metrics for Prometheus (text exposition format 0.0.4). Redis counts them, so every web process returns the same."""

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, current_app
from flask_openapi import APIBlueprint, Tag
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shared.infra import cache
from shared.infra.local_cache import CachedResult
from web.http.auth import public

CACHE_SECONDS = 1.0
EXTENSION = "waymark_metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXAMPLE = 'qr_cache_requests_total{cache="images",result="hit"} 3.0'
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
    """Create this process's registry of metrics, and the cache of its output."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CacheLookups())
    app.extensions[EXTENSION] = CachedResult(lambda: generate_latest(registry), CACHE_SECONDS)


@api.get("/metrics", responses={200: TEXT})
@public
def metrics() -> Response:
    """Get metrics for Prometheus

    Counters of the whole installation. No samples while Redis is unavailable. Without rate limit: the result is cached
    for a second. Block this route at the proxy if its numbers are not public.
    """
    text: CachedResult[bytes] = current_app.extensions[EXTENSION]
    return Response(text.get(), content_type=CONTENT_TYPE)
