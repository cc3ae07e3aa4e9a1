"""Metrics for Prometheus (text exposition format 0.0.4). Redis counts them, so every web process returns the same."""

from typing import Any

from flask import Flask, Response, current_app
from flask_openapi import APIBlueprint, Tag

from shared.infra import cache
from shared.infra.local_cache import CachedResult
from web.http.auth import public

CACHE_SECONDS = 1.0
EXTENSION = "waymark_metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXAMPLE = 'qr_cache_requests_total{cache="images",result="hit"} 3'
TEXT: dict[str, Any] = {
    "description": "Metrics",
    "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
}

api = APIBlueprint("metrics", __name__, abp_tags=[Tag(name="Operations")])


def init_app(app: Flask) -> None:
    """Create this process's cache of its metrics."""
    app.extensions[EXTENSION] = CachedResult(cache.lookup_counts, CACHE_SECONDS)


@api.get("/metrics", responses={200: TEXT})
@public
def metrics() -> Response:
    """Get metrics for Prometheus

    Counters of the whole installation; no samples while Redis is unavailable. Without rate limit: the result is cached
    for a second. Block this route at the proxy if its numbers are not public.
    """
    counts: CachedResult[dict[cache.LookupCount, int] | None] = current_app.extensions[EXTENSION]
    lines = [
        "# HELP qr_cache_requests_total Cache lookups of the whole installation, by cache and result.",
        "# TYPE qr_cache_requests_total counter",
    ]
    for (name, result), count in (counts.get() or {}).items():
        lines.append(f'qr_cache_requests_total{{cache="{name}",result="{result}"}} {count}')
    return Response("\n".join(lines) + "\n", content_type=CONTENT_TYPE)
