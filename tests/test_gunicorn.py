"""What gunicorn is told of the sockets it accepts."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import _DEFER, TConn

from script.stack.ports import LOOPBACK
from web import gunicorn


def test_a_client_that_is_silent_or_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn, "SILENT_SECONDS", 1)
    with socket.create_server((LOOPBACK, 0)) as listening:
        gunicorn.when_ready(SimpleNamespace(LISTENERS=[SimpleNamespace(sock=listening)]))
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            with pytest.raises(BlockingIOError):
                accepted.recv(1)
            with pytest.raises(BlockingIOError):
                accepted.sendall(bytes(64 * 2**20))


def test_a_connection_over_which_nothing_came_keeps_no_thread() -> None:
    worker: Any = object.__new__(gunicorn.Worker)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        conn = TConn(Config(), ours, ("", 0), ("", 0))

        assert worker.handle(conn) is _DEFER
        assert not conn.initialized


@pytest.mark.parametrize("end", ["data", "silence", "close", "break"])
def test_only_silence_is_waited_out(end: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if end == "data":
            theirs.sendall(b"GET")
        if end == "close":
            theirs.close()
        if end == "break":
            ours.close()

        assert gunicorn.is_silent(ours) is (end == "silence")
        assert end != "data" or ours.recv(3) == b"GET"
