"""A stand-in for Sentry's server: it receives envelopes over HTTP, and stores their events."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from script.stack.ports import LOOPBACK


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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.receive(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        sink.dsn = f"http://key@{LOOPBACK}:{server.server_port}/1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield sink
        server.shutdown()
