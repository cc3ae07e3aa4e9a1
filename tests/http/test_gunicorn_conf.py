"""gunicorn's configuration: clients that read nothing, file descriptors, and what it loads before the fork."""

import resource
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from script.stack.ports import LOOPBACK
from web import gunicorn_conf


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")
def test_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_conf, "UNREAD_TIMEOUT_SECONDS", 1)
    with socket.create_server((LOOPBACK, 0)) as listening:
        gunicorn_conf.when_ready(SimpleNamespace(LISTENERS=[SimpleNamespace(sock=listening)]))
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            accepted.settimeout(60)  # the negative control: this error has no errno
            with pytest.raises(TimeoutError) as timeout:
                accepted.sendall(bytes(64 * 2**20))
            assert timeout.value.errno is not None


def test_every_connection_can_have_a_file_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 3_500))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: changed.append(limits))

    gunicorn_conf.when_ready(SimpleNamespace(LISTENERS=[]))

    assert changed == [(3_500, 3_500)]


def test_configuration_loads_nothing_that_gevent_must_patch() -> None:
    """gunicorn loads it before the fork. psycopg decides at its import how it waits."""
    program = "import sys, web.gunicorn_conf; print({'psycopg', 'redis', 'gevent', 'flask'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert loaded.stdout == "set()\n"
