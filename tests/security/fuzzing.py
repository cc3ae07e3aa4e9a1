"""Sends hostile requests over plain sockets, and judges every answer."""

import re
import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from random import Random

from tests.security.hostile_requests import Request, World, hostile

ANSWER_SECONDS = 30.0
LEAKS = re.compile(
    rb"Traceback|site-packages|psycopg|pydantic_core|sqlalchemy|werkzeug|redis\.|\.py\b"
    rb"|SELECT |INSERT INTO|UPDATE [a-z_]+ SET|/home/|/usr/lib|/tmp/",
    re.IGNORECASE,
)
"""Texts that no response may contain. No request contains them, so a hit is not an echo."""
MAX_FOUND = 20


@dataclass
class Fuzz:
    """What was sent to one server, what it answered, and what was wrong with that."""

    address: tuple[str, int]
    world: World
    seed: int
    statuses: Counter[int] = field(default_factory=Counter)
    hung_up: int = 0
    found: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, count: int, threads: int = 4) -> None:
        """Send this many requests from several concurrent clients. Each has its own seed."""
        clients = [
            threading.Thread(target=self._client, args=(Random(f"{self.seed} {count} {n}"), count // threads))
            for n in range(threads)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def _client(self, dice: Random, count: int) -> None:
        connection: socket.socket | None = None
        for _ in range(count):
            if len(self.found) >= MAX_FOUND:
                break
            request = hostile(dice, self.world)
            if connection is not None and request.is_http:
                kept = connection
                try:
                    connection = self._send(request, kept)
                except (ConnectionError, HTTPException):  # closed meanwhile, as a server may: any client tries again
                    kept.close()
                else:
                    continue
            elif connection is not None:
                connection.close()
            fresh = socket.create_connection(self.address, timeout=ANSWER_SECONDS)
            fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                connection = self._send(request, fresh)
            except (OSError, HTTPException) as error:
                self._miss(request, error)
                fresh.close()
                connection = None
        if connection is not None:
            connection.close()

    def _send(self, request: Request, connection: socket.socket) -> socket.socket | None:
        """Send one. Returns the connection if it can be used again."""
        with suppress(BrokenPipeError, ConnectionResetError):  # answered before all of it was sent
            connection.sendall(request.data)
            if not request.is_http:
                connection.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(connection, method=request.method)
        answer.begin()
        body = b"" if answer.status == 101 else answer.read()
        self._judge(request, answer, body)
        if request.is_http and not answer.will_close and answer.status != 101:
            return connection
        connection.close()
        return None

    def _miss(self, request: Request, error: Exception) -> None:
        """No response: the server may close a connection that is not HTTP or sends too much."""
        is_too_large = len(request.data) > 60_000
        with self._lock:
            self.hung_up += 1
            if isinstance(error, TimeoutError) or (request.is_http and not is_too_large):
                self.found.append(f"no answer ({error!r}) to {request.label}")

    def _judge(self, request: Request, answer: HTTPResponse, body: bytes) -> None:
        with self._lock:
            self.statuses[answer.status] += 1
            for fault in faults(request, answer, body):
                self.found.append(f"{fault}: {answer.status} {body[:300]!r} to {request.label}")


def faults(request: Request, answer: HTTPResponse, body: bytes) -> list[str]:
    """What is wrong with an answer."""
    found = []
    kind = answer.headers.get_content_type()
    if answer.status >= 500 and not is_allowed(request, answer):
        found.append("a status of 500 or more")
    if not kind.startswith(("image/", "application/pdf", "application/zip")) and (leak := LEAKS.search(body)):
        found.append(f"a leak, {leak[0]!r}")
    if (
        answer.status >= 400
        and "X-Request-ID" in answer.headers
        and kind not in ("application/problem+json", "text/html")
    ):
        found.append(f"an error response of type {kind}")
    return found


def is_allowed(request: Request, answer: HTTPResponse) -> bool:
    """Sockets, downloads and passwords that are too many are refused with 503 and Retry-After; a transfer coding that
    the server does not know is 501 (RFC 9112, 6.1)."""
    if answer.status == 501:
        return b"Transfer-Encoding" in request.data
    is_bounded = request.path.startswith(("/ws", "/auth/", "/users/me"))
    is_bounded = is_bounded or "/download" in request.path or "/export" in request.path
    return answer.status == 503 and is_bounded and "Retry-After" in answer.headers
