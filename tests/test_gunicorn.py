"""What gunicorn is told of the sockets it accepts."""

import socket
from types import SimpleNamespace

import pytest

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
