"""The clients: keep-alive connections on plain sockets in one thread, so cheap that the server is what is measured."""

import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator

from script.stack.ports import LOOPBACK

Requests = Iterator[bytes]
GIVEN_UP_SECONDS = 10.0


class Connection:
    """One keep-alive connection, with one request under way at most."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self._answer = b""

    def send(self, request: bytes, began: float) -> None:
        """Send a request. `began` is when it should have been sent: a late start counts as latency."""
        self.began, self._answer = began, b""
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read what is there: the status, such as b"202", once the answer is whole."""
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionError(f"the server closed a connection after {self._answer!r}")
        self._answer += received
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0]
        return head.split(b" ", 2)[1] if len(body) >= int(length or 0) else None  # a 304 has no length

    def close(self) -> None:
        self.socket.close()


def post(path: str, token: str, body: bytes, *headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: bench",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def ask(connection: Connection, request: bytes) -> float:
    """One request to its answer; seconds."""
    connection.send(request, time.perf_counter())
    while (status := connection.receive()) is None:
        pass
    return _waited(connection, status)


def saturate(port: int, requests: Requests, *, connections: int, seconds: float, expected: bytes = b"202") -> float:
    """Answers per second while every connection sends its next request as soon as it has its answer."""
    answers = 0
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        for _ in range(connections):
            connection = Connection(port)
            connection.send(next(requests), start)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            for key, _ in selector.select():
                status = key.data.receive()
                if status is None:
                    continue
                if status != expected:
                    raise RuntimeError(f"answered with {status.decode()}, not {expected.decode()}")
                if time.perf_counter() - start < seconds:
                    answers += 1
                    key.data.send(next(requests), 0)
                else:
                    selector.unregister(key.fileobj)
                    key.data.close()
    return answers / seconds


def pace(port: int, requests: Requests, *, rate: float, seconds: float) -> list[float]:
    """Latencies in seconds of requests that are sent on time whether or not others were answered (an open loop)."""
    latencies: list[float] = []
    idle: list[Connection] = []
    busy = 0
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        due = deque(start + n / rate for n in range(int(rate * seconds)))
        while due or busy:
            while due and due[0] <= time.perf_counter():
                connection = idle.pop() if idle else Connection(port)
                connection.send(next(requests), due.popleft())
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                busy += 1
            for key, _ in selector.select(max(0.0, due[0] - time.perf_counter()) if due else None):
                status = key.data.receive()
                if status is not None:
                    latencies.append(_waited(key.data, status))
                    selector.unregister(key.fileobj)
                    idle.append(key.data)
                    busy -= 1
    for connection in idle:
        connection.close()
    return latencies


def _waited(connection: Connection, status: bytes) -> float:
    """Seconds to the verdict; an answer without one counts as the longest wait."""
    return time.perf_counter() - connection.began if status == b"200" else GIVEN_UP_SECONDS
