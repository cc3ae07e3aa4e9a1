"""Metrics of requests: how many, how long, and how many at once."""

import time

from flask import Flask, Response, current_app, g, request

from shared.infra.metrics import Counter, Gauge, Histogram
from web.http.auth import requirement_of

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"
OTHER_METHOD = "other"

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


def init_app(app: Flask) -> None:
    """Measure each request. Call this first, so that the time of all other hooks is included."""

    @app.before_request
    def start_measurement() -> None:
        g.measured_since = time.perf_counter()
        # A WebSocket is open for hours. It has metrics of its own.
        view = current_app.view_functions.get(request.endpoint or "")
        g.is_socket = view is not None and requirement_of(view).kind == "socket"
        if not g.is_socket:
            IN_PROGRESS.inc()

    @app.after_request
    def measure(response: Response) -> Response:
        # Labels that a client could choose freely would fill the memory of each process, and of Prometheus.
        route = request.url_rule.rule if request.url_rule is not None else NO_ROUTE
        method = request.method if request.method in METHODS else OTHER_METHOD
        REQUESTS.labels(route, method, response.status_code).inc()
        if "measured_since" in g and not g.is_socket:
            DURATION.labels(route, method).observe(time.perf_counter() - g.measured_since)
        return response

    @app.teardown_request
    def end_measurement(_error: BaseException | None) -> None:
        if g.pop("measured_since", None) is not None and not g.is_socket:
            IN_PROGRESS.dec()
