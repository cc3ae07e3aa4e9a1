"""What Prometheus reads (text exposition format 0.0.4). Counted in Redis: every web process tells the same figures."""

from typing import Any

from flask import Response
from flask_openapi import APIBlueprint, Tag

from shared.infra import cache
from web.http.auth import public

api = APIBlueprint("metrics", __name__, abp_tags=[Tag(name="Operations")])

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TEXT: dict[str, Any] = {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}


@api.get("/metrics", responses={200: TEXT})
@public
def metrics() -> Response:
    """Counters of the whole installation; none while Redis is away."""
    lines = [
        "# HELP qr_cache_requests_total Looks into a cache, of the whole installation, by what came of them.",
        "# TYPE qr_cache_requests_total counter",
    ]
    for (name, result), count in (cache.lookup_counts() or {}).items():
        lines.append(f'qr_cache_requests_total{{cache="{name}",result="{result}"}} {count}')
    return Response("\n".join(lines) + "\n", content_type=CONTENT_TYPE)
