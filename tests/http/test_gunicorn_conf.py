"""What gunicorn is told of the sockets it accepts."""

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


def test_a_client_that_is_silent_or_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_conf, "IDLE_TIMEOUT_SECONDS", 1)
    with socket.create_server((LOOPBACK, 0)) as listening:
        gunicorn_conf.when_ready(SimpleNamespace(LISTENERS=[SimpleNamespace(sock=listening)]))
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            with pytest.raises(BlockingIOError):
                accepted.recv(1)
            with pytest.raises(BlockingIOError):
                accepted.sendall(bytes(64 * 2**20))


def test_a_connection_over_which_nothing_came_keeps_no_thread() -> None:
    worker: Any = object.__new__(gunicorn_worker.LimitedThreadWorker)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        conn = TConn(Config(), ours, ("", 0), ("", 0))

        assert worker.handle(conn) is _DEFER
        assert not conn.initialized


@pytest.mark.parametrize(("end", "expected"), [("data", b"G"), ("silence", None), ("close", b""), ("break", b"")])
def test_a_look_takes_nothing_and_waits_for_nothing(end: str, expected: bytes | None) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if end == "data":
            theirs.sendall(b"GET")
        if end == "close":
            theirs.close()
        if end == "break":
            ours.close()

        assert gunicorn_worker.peek(ours) == expected
        assert end != "data" or ours.recv(3) == b"GET"


class Clock:
    """A clock that stands until it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One that holds a connection, its client's end, and a clock."""
    worker: Any = object.__new__(gunicorn_worker.LimitedThreadWorker)
    worker.poller, worker.lingering, worker.nr_conns = selectors.DefaultSelector(), {}, 1
    worker.limiter, worker.serialized = ConcurrencyLimiter(1, print), ConcurrencyLimiter(1, print)
    worker.clock = Clock()
    monkeypatch.setattr(gunicorn_worker, "time", worker.clock)
    ours, worker.client = socket.socketpair()
    worker.conn = TConn(Config(), ours, ("", 0), ("", 0))
    with ours, worker.client, worker.poller:
        yield worker


def finish(worker: Any) -> None:
    """As after an answer that said `Connection: close`."""
    served: Future[Any] = Future()
    served.set_result(False)
    worker.finish_request(worker.conn, served)


def test_a_client_that_does_not_close_holds_up_nobody(worker: Any) -> None:
    """Where gunicorn waits for it, the connection is closed by the time its call returns."""
    finish(worker)

    assert worker.client.recv(1) == b"", "it is told that nothing more comes"
    worker.wait_for_and_dispatch_events(0)
    assert worker.conn.sock.fileno() != -1
    assert worker.nr_conns == 1

    worker.clock.now = gunicorn_worker.LINGER_SECONDS
    worker.wait_for_and_dispatch_events(0)
    assert worker.conn.sock.fileno() == -1
    assert (worker.nr_conns, worker.lingering) == (0, {})


@pytest.mark.parametrize("way", ["close", "chatter", "break"])
def test_a_connection_is_closed_with_its_client_or_when_that_says_too_much(worker: Any, way: str) -> None:
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


def test_a_connection_that_is_broken_already_is_closed(worker: Any) -> None:
    worker.conn.sock.close()
    worker.conn.sock = socket.socket()
    finish(worker)

    assert (worker.nr_conns, worker.lingering) == (0, {})


@pytest.mark.parametrize("is_closed", [True, False])
def test_who_closes_a_kept_connection_needs_no_thread(worker: Any, is_closed: bool) -> None:
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


def test_whoever_else_closes_a_connection_that_lingers_closes_nothing_of_the_pollers(worker: Any) -> None:
    """A WebSocket's thread does, a moment after its request has ended; the number is somebody else's then."""
    theirs = worker.conn.sock
    finish(worker)
    theirs.close()

    assert [key.fileobj.fileno() for key in worker.poller.get_map().values()] == [worker.conn.sock.fileno()]
    assert worker.conn.sock.fileno() != -1
    worker.client.close()
    worker.wait_for_and_dispatch_events(0)
    assert (worker.nr_conns, worker.lingering, len(worker.poller.get_map())) == (0, {}, 0)


def test_the_time_that_a_request_stands_in_line_is_not_its_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(gunicorn_worker, "time", clock)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        requests = gunicorn_worker.RequestReader(TConn(Config(), ours, ("", 0), ("", 0)), 30, 16_384)
        ours.setblocking(True)
        requests.unreader._clock = clock.monotonic
        theirs.sendall(b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        requests.unread(next(requests))
        clock.now = 1_000
        theirs.sendall(b"hello")

        assert next(requests).body.read() == b"hello"
