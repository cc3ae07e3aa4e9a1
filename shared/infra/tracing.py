"""OpenTelemetry traces, if OTEL_EXPORTER_OTLP_ENDPOINT is set. Otherwise nothing of OpenTelemetry is imported.

The SDK reads its other settings from the environment, such as OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from shared.settings import SettingsError, settings
from shared.version import __version__

FLUSH_MILLISECONDS = 2_000
Attributes = Mapping[str, str | int]


class Tracing:
    """The tracer of this process. Until `start`, and without an endpoint, spans cost nothing and are not recorded."""

    def __init__(self) -> None:
        self._tracer: Any = None
        self._provider: Any = None

    def start(self, process: str) -> None:
        """Start to export spans, if the settings name an endpoint. Call it after the fork: it starts a thread."""
        if settings().otel_exporter_otlp_endpoint is None or self._tracer is not None:
            return
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

            from shared.infra.linked_sampler import LinkedSampler  # noqa: PLC0415
        except ImportError:
            raise SettingsError("OTEL_EXPORTER_OTLP_ENDPOINT needs the packages of requirements-tracing.txt") from None
        names = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": f"waymark-{process}"}
        # Without the SDK's hook at exit, which waits for an unavailable collector.
        self._provider = TracerProvider(
            resource=Resource.create({"service.version": __version__, **names}), shutdown_on_exit=False
        )
        self._provider.sampler = LinkedSampler(self._provider.sampler)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("waymark")

    def stop(self) -> None:
        """Export the spans that wait, within two seconds. Record none from now on."""
        if self._tracer is not None:
            self._provider.force_flush(FLUSH_MILLISECONDS)
            self._tracer = self._provider = None

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Literal["internal", "server", "consumer"] = "internal",
        traceparent: str | None = None,
        links: Iterable[str] = (),
        attributes: Attributes | None = None,
    ) -> Iterator[Any]:
        """Record a span while the block runs, and yield it; None if tracing is off.

        Its parent is the context of `traceparent`, else the current span. `links` are contexts of other traces.
        Of an error that the block raises, only the type is recorded.
        """
        if self._tracer is None:
            yield None
            return
        from opentelemetry.trace import Link, SpanKind, StatusCode  # noqa: PLC0415

        with self._tracer.start_as_current_span(
            name,
            context=_context(traceparent) if traceparent else None,
            kind=SpanKind[kind.upper()],
            links=[Link(_span_context(link)) for link in links],
            attributes=attributes,
            # The message of an error may name a player or a position.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def current_traceparent(self) -> str | None:
        """Return the context of the current span in the format of W3C Trace Context. None unless it is sampled."""
        context = self._current()
        if context is None or not context.trace_flags.sampled:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def current_ids(self) -> dict[str, str]:
        """Return trace_id and span_id of the current span, for the log. Empty if there is none."""
        context = self._current()
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context else {}

    def _current(self) -> Any:
        if self._tracer is None:
            return None
        from opentelemetry.trace import get_current_span  # noqa: PLC0415

        context = get_current_span().get_span_context()
        return context if context.is_valid else None


def _context(traceparent: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _span_context(traceparent: str) -> Any:
    from opentelemetry.trace import get_current_span  # noqa: PLC0415

    return get_current_span(_context(traceparent)).get_span_context()


tracing = Tracing()
