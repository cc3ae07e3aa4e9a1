"""Real web processes: no answered visit is lost when one of them stops under load."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command
from shared.infra.db import Conn
from tests.support.factories import code_text, make_code
from tests.support.polling import eventually

CHECKOUT = Path(__file__).parents[2]
PHONE = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"}
CLIENTS = 4
pytestmark = pytest.mark.system


@contextmanager
def web(
    config: str = "web/gunicorn_conf.py", log: int | IO[str] = subprocess.DEVNULL
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A port, and gunicorn that listens on it."""
    port = free_port()
    argv = (sys.executable, "-m", "gunicorn", "--config", config, "web.app:create_app()")
    full = {**os.environ, "PORT": str(port), "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(
        Command(argv, environment=full, directory=CHECKOUT).leashed(),
        cwd=CHECKOUT,
        env=full,
        stdout=log,
        stderr=log,
    )
    try:
        eventually(lambda: opened(port, "nobody") == 404)
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


def opened(port: int, code: str) -> int | None:
    """The status of one visit; None where there was no answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", f"/s/{code}", headers=PHONE)
        return connection.getresponse().status
    return None


def visit_until_it_ends(port: int, code: str) -> int:
    """How many visits were answered by being led on."""
    led = 0
    while (status := opened(port, code)) == 302:
        led += 1
    assert status is None
    return led


def led_on(port: int, process: "subprocess.Popen[bytes]", code: str, number: signal.Signals, conn: Conn) -> int:
    """Run clients that visit one after another, and stop the process meanwhile."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(visit_until_it_ends, port, code) for _ in range(CLIENTS)]
        eventually(lambda: stored(conn) > 2 * CLIENTS)
        process.send_signal(number)
        return sum(client.result(60) for client in clients)


def stored(conn: Conn) -> int:
    row = conn.execute("SELECT count(*) FROM visits").fetchone()
    assert row is not None
    return int(row[0])


def test_sigterm_under_load_loses_no_visit(conn: Conn) -> None:
    code = make_code(conn, scan_type=None, target_url="https://museum.example/")
    with web() as (port, process):
        led = led_on(port, process, code_text(conn, code), signal.SIGTERM, conn)
        assert process.wait(30) == 0

    assert led > 2 * CLIENTS
    assert led <= stored(conn) <= led + CLIENTS  # the last answer to each may not have come through
    assert conn.execute("SELECT use_count FROM qr_codes").fetchone() == (stored(conn),)


@pytest.mark.parametrize(("config", "kept"), [("with_slow_visit_flush", 10), ("without_exit_hook", 0)])
def test_what_waits_is_stored_by_the_hook_that_ends_a_process(conn: Conn, config: str, kept: int) -> None:
    """And the negative control: without the hook, it is lost."""
    code = make_code(conn, scan_type=None, target_url="https://museum.example/")
    with web(f"tests/system/gunicorn_{config}.py") as (port, process):
        for _ in range(10):
            assert opened(port, code_text(conn, code)) == 302
        assert stored(conn) == 0
        process.terminate()
        assert process.wait(30) == 0

    assert stored(conn) == kept


def test_request_that_does_not_end_loses_no_visit(conn: Conn) -> None:
    """The worker gives the request up before gunicorn's master kills the worker."""
    code = make_code(conn, scan_type=None, target_url="https://museum.example/")
    with web("tests/system/gunicorn_with_slow_visit_flush.py") as (port, process):
        assert opened(port, code_text(conn, code)) == 302
        with socket.create_connection((LOOPBACK, port)) as endless:
            endless.sendall(b"POST /auth/login HTTP/1.1\r\nHost: waymark\r\nContent-Length: 99\r\n\r\n{")
            assert opened(port, "nobody") == 404
            process.terminate()
            process.wait(30)

    assert stored(conn) == 1
