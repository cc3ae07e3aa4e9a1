"""A small proxy that ends TLS, as operators put one in front of Waymark."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from script.stack.ports import LOOPBACK
from tests.support.certificates import self_signed_certificate

OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}
"""Headers that a proxy does not forward (RFC 9110, 7.6.1)."""


@contextmanager
def tls_proxy(port: int, folder: Path) -> Iterator[str]:
    """Forward to a port, with the headers that a trusted proxy adds. Return the origin of the proxy."""

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {**self.headers, "X-Forwarded-For": self.client_address[0], "X-Forwarded-Proto": "https"}
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            content = response.read()
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() not in OF_A_CONNECTION:
                    self.send_header(name, value)
            if response.status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = forward  # noqa: N815 - names of the base class

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed_certificate(folder))
    with ThreadingHTTPServer((LOOPBACK, 0), Forward) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://{LOOPBACK}:{server.server_port}"
        server.shutdown()
