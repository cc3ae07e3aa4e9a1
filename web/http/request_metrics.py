"""Metrics of requests: how many, how long, and how many at once."""

import time

from flask import Flask, Request, Response, request

from shared.infra.metrics import Counter, Gauge, Histogram, defer, set_at_flush

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"
OTHER_METHOD = "other"
_started: dict[int, float] = {}
"""When each request that is handled now has started, by the id of its environment."""

REQUESTS = Counter(
    "waymark_http_requests_total", "Responses, by route, method and status.", ("route", "method", "status")
)
DURATION = Histogram(
    "waymark_http_request_duration_seconds",
    "Time from the start of a request to its response, by route and method. WebSockets are not included.",
    ("route", "method"),
    buckets=SECONDS,
)
IN_PROGRESS = Gauge(
    "waymark_http_requests_in_progress",
    "Requests that are handled now, without WebSockets.",
    multiprocess_mode="livesum",
)
set_at_flush(IN_PROGRESS, lambda: len(_started))


def init_app(app: Flask) -> None:
    """Measure each request. Call this first, so that the time of all other hooks is included."""
    # Each access through Flask's proxies costs as much as a metric, so these hooks use few of them.

    @app.before_request
    def start_measurement() -> None:
        _started[id(request.environ)] = time.perf_counter()

    @app.after_request
    def measure(response: Response) -> Response:
        handled: Request = request._get_current_object()  # type: ignore[attr-defined]
        # Labels that a client could choose freely would fill the memory of each process, and of Prometheus.
        method = handled.method if handled.method in METHODS else OTHER_METHOD
        route = handled.url_rule.rule if handled.url_rule is not None else NO_ROUTE
        defer(REQUESTS, (route, method, str(response.status_code)), 1)
        if (started := _started.get(id(handled.environ))) is not None:
            defer(DURATION, (route, method), time.perf_counter() - started)
        return response

    app.teardown_request(lambda _error: end_measurement())


def end_measurement() -> None:
    """Stop measuring the current request. A WebSocket does so when it opens, because it stays open for hours."""
    _started.pop(id(request.environ), None)
