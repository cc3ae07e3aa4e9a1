"""A server that receives what a library posts, in place of the service that it is for."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from script.stack.ports import LOOPBACK

POLL_SECONDS = 0.01


@contextmanager
def http_sink(receive: Callable[[bytes], None]) -> Iterator[str]:
    """Pass the body of each POST on, decompressed, and answer 200. Yield the host and the port of the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receive(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        yield f"{LOOPBACK}:{server.server_port}"
        server.shutdown()
