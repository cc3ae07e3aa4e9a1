"""A span for each request, if tracing is on. It continues the trace of the client's `traceparent`."""

from contextlib import ExitStack

from flask import Flask, Response, current_app, g, request

from shared.infra.tracing import tracing
from shared.settings import Settings
from web.http.auth import requirement_of

UNTRACED_PATHS = ("/healthz", "/readyz", "/metrics")
MAX_TRACEPARENT = 128


def init_app(app: Flask, settings: Settings) -> None:
    """Trace requests, except WebSockets and probes. Call this first: the log lines of all hooks then have the ids."""
    if settings.otel_exporter_otlp_endpoint is None:
        return

    @app.before_request
    def start_span() -> None:
        view = current_app.view_functions.get(request.endpoint or "")
        if request.path in UNTRACED_PATHS or (view is not None and requirement_of(view).kind == "socket"):
            return
        route = request.url_rule.rule if request.url_rule is not None else "none"
        g.span_stack = ExitStack()
        g.span = g.span_stack.enter_context(
            tracing.span(
                f"{request.method} {route}",
                kind="server",
                traceparent=request.headers.get("traceparent", "")[:MAX_TRACEPARENT] or None,
                attributes={"http.request.method": request.method, "http.route": route},
            )
        )

    @app.after_request
    def describe_response(response: Response) -> Response:
        if (span := g.get("span")) is not None:
            span.set_attribute("http.response.status_code", response.status_code)
        return response

    @app.teardown_request
    def end_span(_error: BaseException | None) -> None:
        if (stack := g.pop("span_stack", None)) is not None:
            stack.close()
