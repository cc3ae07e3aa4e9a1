"""gunicorn's worker: deadlines of idle connections and of request heads."""

import errno
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.socket import socketpair
from gunicorn.config import Config
from gunicorn.glogging import Logger

from web import gunicorn_worker
from web.gunicorn_worker import Worker

WAIT_SECONDS = 20.0
HEAD_SECONDS = 0.1
REQUEST = b"POST / HTTP/1.1\r\nHost: waymark\r\nContent-Length: 4\r\n\r\n"
Connect = Callable[[float], Any]


def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer without reading the body."""
    start_response("204 No Content", [])
    return []


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Return a function that connects a client to a worker with this keep-alive timeout."""
    monkeypatch.setattr(gunicorn_worker, "settings", lambda: SimpleNamespace(request_read_timeout_seconds=HEAD_SECONDS))
    opened: list[Any] = []

    def open_connection(keepalive: float) -> Any:
        config = Config()
        config.settings["keepalive"].value = keepalive  # `set` accepts whole seconds only
        worker = Worker(1, 1, [], SimpleNamespace(wsgi=lambda: respond), 30, config, Logger(config))
        worker.wsgi = respond
        near, far = socketpair()
        near.settimeout(WAIT_SECONDS)
        gevent.spawn(worker.handle, SimpleNamespace(getsockname=lambda: ("127.0.0.1", 8000)), far, ("127.0.0.1", 9))
        opened.append(near)
        return near

    yield open_connection
    for client in opened:
        client.close()


def responses(client: Any, count: int) -> bool:
    """Return whether the worker sends this many responses. False if it closes the connection before."""
    received = b""
    while received.count(b"HTTP/1.1 204 ") < count:
        data = client.recv(65_536)
        if not data:
            return False
        received += data
    return True


@pytest.mark.parametrize(
    "sent", [b"POST / HT", REQUEST + b"body" + b"G", REQUEST + b"bo"], ids=["head", "next", "body"]
)
def test_incomplete_request_closes_the_connection(connect: Connect, sent: bytes) -> None:
    client = connect(2 * WAIT_SECONDS)
    client.sendall(sent)
    if sent.startswith(REQUEST):
        assert responses(client, 1)
        client.sendall(b"E")

    assert client.recv(1) == b""


@pytest.mark.parametrize("body", [b"", b"body"], ids=["body after the response", "body before"])
def test_idle_connection_has_the_keep_alive_timeout(connect: Connect, body: bytes) -> None:
    client = connect(2 * WAIT_SECONDS)
    client.sendall(REQUEST + body)
    assert responses(client, 1)
    client.sendall(b"body"[len(body) :])
    gevent.sleep(2 * HEAD_SECONDS)

    client.sendall(REQUEST + b"body")
    assert responses(client, 1)


def test_idle_connection_is_closed_at_its_timeout(connect: Connect) -> None:
    assert connect(0.01).recv(1) == b""


def test_pipelined_requests_are_served(connect: Connect) -> None:
    client = connect(2 * WAIT_SECONDS)
    client.sendall(2 * (REQUEST + b"body"))

    assert responses(client, 2)


def test_port_is_closed_also_when_accepting_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    server = gunicorn_worker.Server(("127.0.0.1", 0), handle=print)
    server.start()
    monkeypatch.setattr(server, "do_read", fail)
    server.close()

    assert server.closed
