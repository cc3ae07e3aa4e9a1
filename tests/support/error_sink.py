"""A stand-in for Sentry's server: it receives envelopes over HTTP, and stores their events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.http_sink import http_sink


@dataclass
class ErrorSink:
    dsn: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    received: str = ""
    """Everything, as text."""

    def receive(self, envelope: bytes) -> None:
        self.received += envelope.decode()
        lines = envelope.splitlines()
        # The header of the envelope, then a header and a body for each item.
        for header, body in zip(lines[1::2], lines[2::2], strict=False):
            if json.loads(header)["type"] == "event":
                self.events.append(json.loads(body))


@contextmanager
def error_sink() -> Iterator[ErrorSink]:
    """Run a server until the context ends."""
    sink = ErrorSink()
    with http_sink(sink.receive) as address:
        sink.dsn = f"http://key@{address}/1"
        yield sink
