"""Deadlines of request bodies, and the queue of requests that hash a password, on gevent's event loop."""

import socket
from collections.abc import Iterable, Iterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event

from web import middleware
from web.http.request_context import MAX_BODY_BYTES, QUEUE_FULL, SERIALIZED_ROUTES
from web.middleware import PasswordQueue, TimedBody

WAIT_SECONDS = 20.0


class SlowBody:
    """A body whose pieces arrive after a delay each, on a clock that advances only then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pieces: Iterable[tuple[float, bytes]]) -> None:
        self.now = 1_000.0
        self._pieces = iter(pieces)
        monkeypatch.setattr(middleware, "time", SimpleNamespace(monotonic=lambda: self.now))

    def read(self, _size: int) -> bytes:
        seconds, data = next(self._pieces, (0.0, b""))
        self.now += seconds
        return data


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    near, far = socket.socketpair()
    with near, far:
        yield near


def pieces(body: TimedBody, size: int = 1) -> list[bytes]:
    return list(iter(lambda: body.read(size) or b"", b""))


def test_body_sent_byte_by_byte_times_out(monkeypatch: pytest.MonkeyPatch, connection: socket.socket) -> None:
    slow = SlowBody(monkeypatch, [(9.0, b"x")] * 100)
    body = TimedBody({"wsgi.input": slow, "gunicorn.socket": connection}, 30, 1_000)
    with pytest.raises(TimeoutError):
        pieces(body)

    assert slow.now == 1_036
    with pytest.raises(TimeoutError):
        body.read(1)
    assert connection.recv(1) == b"", "the connection is not used for another request"


def test_steady_upload_extends_the_deadline(monkeypatch: pytest.MonkeyPatch, connection: socket.socket) -> None:
    steady = SlowBody(monkeypatch, [(1.0, bytes(2_000))] * 500)
    body = TimedBody({"wsgi.input": steady, "gunicorn.socket": connection}, 30, 1_000)

    assert len(b"".join(pieces(body, 2_000))) == 1_000_000


def test_silent_client_times_out(connection: socket.socket) -> None:
    silent = SimpleNamespace(read=lambda _size: gevent.sleep(WAIT_SECONDS))
    body = TimedBody({"wsgi.input": silent, "gunicorn.socket": connection}, 0.01, 1_000)

    with pytest.raises(TimeoutError):
        body.read(1)


def test_body_that_ends_early_is_an_error(connection: socket.socket) -> None:
    environ = {"wsgi.input": BytesIO(b"half"), "gunicorn.socket": connection, "CONTENT_LENGTH": "8"}
    with pytest.raises(ConnectionError):
        pieces(TimedBody(environ, 30, 1_000))


class Gate:
    """An application whose requests wait until the gate opens, and which counts them."""

    def __init__(self) -> None:
        self.extensions = {SERIALIZED_ROUTES: {("POST", "/login")}}
        self.is_open = Event()
        self.running = self.most = self.rejected = 0
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], _start_response: object) -> list[bytes]:
        self.rejected += QUEUE_FULL in environ
        self.running += 1
        self.most = max(self.most, self.running)
        self.is_open.wait(WAIT_SECONDS)
        self.running -= 1
        self.bodies.append(environ["wsgi.input"].read())
        return []


def post(queue: PasswordQueue, path: str = "/login", body: Any = None, **environ: str) -> "gevent.Greenlet[Any]":
    request = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "wsgi.input": body or BytesIO(b"{}"), **environ}
    return gevent.spawn(queue, request, print)


@pytest.mark.parametrize(("path", "most"), [("/login", 2), ("/scan", 6)], ids=["guarded", "negative control"])
def test_only_some_requests_hash_passwords_at_a_time(path: str, most: int) -> None:
    gate = Gate()
    queue = PasswordQueue(gate, 2)
    requests = [post(queue, path) for _ in range(6)]
    gevent.sleep(0)
    gate.is_open.set()
    gevent.joinall(requests, timeout=WAIT_SECONDS, raise_error=True)

    assert (len(gate.bodies), gate.most) == (6, most)


def test_client_that_sends_slowly_delays_no_log_in() -> None:
    gate = Gate()
    gate.is_open.set()
    queue = PasswordQueue(gate, 1)
    slow = post(queue, body=SimpleNamespace(read=lambda _size: gevent.sleep(WAIT_SECONDS)))
    gevent.sleep(0)

    post(queue).get(timeout=WAIT_SECONDS / 2)

    assert gate.bodies == [b"{}"]
    slow.kill()


def test_long_body_is_left_to_the_application() -> None:
    gate, body = Gate(), BytesIO(b"long")
    gate.is_open.set()

    post(PasswordQueue(gate, 1), body=body, CONTENT_LENGTH=str(MAX_BODY_BYTES + 1)).get(timeout=WAIT_SECONDS)

    assert gate.bodies == [b"long"]


def test_log_ins_beyond_the_queue_are_marked_for_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MAX_WAITING", 2)
    gate = Gate()
    queue = PasswordQueue(gate, 1)
    requests = [post(queue) for _ in range(5)]
    gevent.sleep(0)
    assert (gate.running, gate.rejected) == (1 + 2, 2)
    gate.is_open.set()
    gevent.joinall(requests, timeout=WAIT_SECONDS, raise_error=True)

    post(queue).get(timeout=WAIT_SECONDS)
    assert gate.rejected == 2, "the queue has room again"
