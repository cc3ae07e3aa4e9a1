"""The gunicorn worker and its configuration: timeouts, lingering connections and the read deadline."""

import selectors
import socket
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import _DEFER, TConn

from script.stack.ports import LOOPBACK
from shared.infra.concurrency import ConcurrencyLimiter
from web import gunicorn_conf
from web.server import gunicorn_worker


def test_silent_client_and_client_that_does_not_read_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_conf, "IDLE_TIMEOUT_SECONDS", 1)
    with socket.create_server((LOOPBACK, 0)) as listening:
        gunicorn_conf.when_ready(SimpleNamespace(LISTENERS=[SimpleNamespace(sock=listening)]))
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            with pytest.raises(BlockingIOError):
                accepted.recv(1)
            with pytest.raises(BlockingIOError):
                accepted.sendall(bytes(64 * 2**20))


def test_connection_without_data_holds_no_thread() -> None:
    worker: Any = object.__new__(gunicorn_worker.LimitedThreadWorker)
    server_socket, client_socket = socket.socketpair()
    with server_socket, client_socket:
        conn = TConn(Config(), server_socket, ("", 0), ("", 0))

        assert worker.handle(conn) is _DEFER
        assert not conn.initialized


@pytest.mark.parametrize(("end", "expected"), [("data", b"G"), ("silence", None), ("close", b""), ("break", b"")])
def test_peek_neither_consumes_nor_blocks(end: str, expected: bytes | None) -> None:
    server_socket, client_socket = socket.socketpair()
    with server_socket, client_socket:
        if end == "data":
            client_socket.sendall(b"GET")
        if end == "close":
            client_socket.close()
        if end == "break":
            server_socket.close()

        assert gunicorn_worker.peek(server_socket) == expected
        assert end != "data" or server_socket.recv(3) == b"GET"


class Clock:
    """A clock that advances only when a test sets it."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a worker with a connection, the client's end of it, and a clock."""
    worker: Any = object.__new__(gunicorn_worker.LimitedThreadWorker)
    worker.poller, worker.lingering, worker.nr_conns = selectors.DefaultSelector(), {}, 1
    worker.limiter, worker.serialized = ConcurrencyLimiter(1, print), ConcurrencyLimiter(1, print)
    worker.clock = Clock()
    monkeypatch.setattr(gunicorn_worker, "time", worker.clock)
    server_socket, worker.client = socket.socketpair()
    worker.conn = TConn(Config(), server_socket, ("", 0), ("", 0))
    with server_socket, worker.client, worker.poller:
        yield worker


def finish(worker: Any) -> None:
    """Finish a request as after a response with `Connection: close`."""
    served: Future[Any] = Future()
    served.set_result(False)
    worker.finish_request(worker.conn, served)


def test_client_that_does_not_close_blocks_no_other(worker: Any) -> None:
    """gunicorn itself would wait until the connection is closed."""
    finish(worker)

    assert worker.client.recv(1) == b"", "the client sees the end of the response"
    worker.wait_for_and_dispatch_events(0)
    assert worker.conn.sock.fileno() != -1
    assert worker.nr_conns == 1

    worker.clock.now = gunicorn_worker.LINGER_SECONDS
    worker.wait_for_and_dispatch_events(0)
    assert worker.conn.sock.fileno() == -1
    assert (worker.nr_conns, worker.lingering) == (0, {})


@pytest.mark.parametrize("way", ["close", "chatter", "break"])
def test_lingering_connection_closes_with_its_client_or_at_a_limit(worker: Any, way: str) -> None:
    worker.client.sendall(b"more")
    finish(worker)
    worker.wait_for_and_dispatch_events(0)
    assert worker.nr_conns == 1

    if way == "chatter":
        worker.client.sendall(bytes(gunicorn_worker.LINGER_BYTES))
    elif way == "close":
        worker.client.close()
    else:
        worker.conn.sock.shutdown(socket.SHUT_RDWR)
    worker.wait_for_and_dispatch_events(0)

    assert worker.conn.sock.fileno() == -1
    assert (worker.nr_conns, worker.lingering) == (0, {})


def test_broken_connection_is_closed(worker: Any) -> None:
    worker.conn.sock.close()
    worker.conn.sock = socket.socket()
    finish(worker)

    assert (worker.nr_conns, worker.lingering) == (0, {})


@pytest.mark.parametrize("is_closed", [True, False])
def test_closing_a_keep_alive_connection_needs_no_thread(worker: Any, is_closed: bool) -> None:
    started: list[Any] = []
    worker.limiter = ConcurrencyLimiter(1, lambda conn, _turn: started.append(conn))
    worker.keepalived_conns = deque([worker.conn])
    worker.poller.register(
        worker.conn.sock, selectors.EVENT_READ, partial(worker.on_client_socket_readable, worker.conn)
    )
    if is_closed:
        worker.client.close()
    else:
        worker.client.sendall(b"GET")

    worker.wait_for_and_dispatch_events(0)

    assert (worker.nr_conns, started) == ((0, []) if is_closed else (1, [worker.conn]))
    assert not worker.poller.get_map()
    assert not worker.keepalived_conns


def test_closing_a_lingering_socket_elsewhere_leaves_the_poller_intact(worker: Any) -> None:
    """The thread of a WebSocket does so shortly after its request. The descriptor may then have another owner."""
    client_socket = worker.conn.sock
    finish(worker)
    client_socket.close()

    assert [key.fileobj.fileno() for key in worker.poller.get_map().values()] == [worker.conn.sock.fileno()]
    assert worker.conn.sock.fileno() != -1
    worker.client.close()
    worker.wait_for_and_dispatch_events(0)
    assert (worker.nr_conns, worker.lingering, len(worker.poller.get_map())) == (0, {}, 0)


def test_time_in_the_queue_extends_the_read_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(gunicorn_worker, "time", clock)
    server_socket, client_socket = socket.socketpair()
    with server_socket, client_socket:
        requests = gunicorn_worker.RequestReader(TConn(Config(), server_socket, ("", 0), ("", 0)), 30, 16_384)
        server_socket.setblocking(True)
        requests.unreader._clock = clock.monotonic
        client_socket.sendall(b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        requests.unread(next(requests))
        clock.now = 1_000
        client_socket.sendall(b"hello")

        assert next(requests).body.read() == b"hello"
