"""A collector of OpenTelemetry traces: it receives OTLP over HTTP, and stores the spans."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.http_sink import http_sink


@dataclass(frozen=True)
class Span:
    """A received span. Ids are hexadecimal; `links` are ids of traces."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, str | int]
    status: str


@dataclass
class Collector:
    url: str = ""
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def receive(self, body: bytes) -> None:
        self.bodies.append(body)
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource_spans.resource.attributes)["service.name"]
            for span in (span for scope in resource_spans.scope_spans for span in scope.spans):
                links = tuple(link.trace_id.hex() for link in span.links)
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(
                    Span(str(service), span.name, *ids, links, _values(span.attributes), span.status.message)
                )


@contextmanager
def trace_collector() -> Iterator[Collector]:
    """Run a collector until the context ends."""
    collector = Collector()
    with http_sink(collector.receive) as address:
        collector.url = f"http://{address}"
        yield collector


def _values(attributes: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}
