"""A proxy in front of the server under test: it counts requests, and can answer one path itself."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import urllib3

from script.stack.ports import LOOPBACK

HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


@dataclass
class RecordingProxy:
    """What the proxy counts and replaces."""

    target: str
    requests: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, str] = field(default_factory=dict)
    """The body of the response to a path, instead of the server's."""
    base_url: str = ""


@contextmanager
def recording_proxy(target: str) -> Iterator[RecordingProxy]:
    """Forward GET requests to `target`."""
    proxy, http = RecordingProxy(target), urllib3.PoolManager(timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            proxy.requests[self.path] += 1
            sent = {name: self.headers[name] for name in ("Accept", "Accept-Language", "Host") if name in self.headers}
            answer = http.request("GET", proxy.target + self.path, headers=sent, redirect=False)
            body = proxy.bodies[self.path].encode() if self.path in proxy.bodies else answer.data
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        proxy.base_url = f"http://{LOOPBACK}:{server.server_port}"
        yield proxy
        server.shutdown()
