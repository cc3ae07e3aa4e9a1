"""A real gunicorn: how many requests run at a time, and which wait."""

import http.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from script.stack.ports import LOOPBACK
from tests.support.gunicorn_server import serving
from tests.support.polling import eventually

pytestmark = pytest.mark.system

CLIENTS = 6
SERVED = "web/gunicorn_conf.py"
ENDLESS = "tests/system/gunicorn_without_permit_expiry.py"
UNCROWDED = "tests/system/gunicorn_without_serialization.py"


class Gate:
    """The gated application behind gunicorn, and clients that wait for their responses."""

    def __init__(self, directory: Path, port: int, clients: ThreadPoolExecutor) -> None:
        self._directory, self._port, self._clients = directory, port, clients

    def post(self, path: str) -> int:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=60)
        connection.request("POST", path)
        status = connection.getresponse().status
        connection.close()
        return status

    def come(self, path: str) -> None:
        for _ in range(CLIENTS):
            self._clients.submit(self.post, path)

    @property
    def counts(self) -> list[int]:
        """Return how many requests run now, and the most that ran at a time."""
        found = self._directory / "count"
        return [int(number) for number in found.read_text().split()] if found.exists() else [0, 0]

    def let_all_through(self) -> int:
        """Let all requests finish. Return the most that ran at a time."""
        (self._directory / "open").touch()
        self._clients.shutdown()
        return self.counts[1]


Serve = Callable[[str, int], Gate]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a web process with a configuration and a concurrency limit."""
    with ExitStack() as running:
        clients = running.enter_context(ThreadPoolExecutor(CLIENTS))

        def serve(config: str, at_once: int) -> Gate:
            options = {"GATED_DIR": str(tmp_path), "DATABASE_POOL_SIZE": str(at_once)}
            application = "tests.system.gated_app:Gated()"
            web = serving(tmp_path / "web.log", config=config, application=application, **options)
            return Gate(tmp_path, running.enter_context(web), clients)

        yield serve
        (tmp_path / "open").touch()


@pytest.mark.parametrize("at_once", [3, pytest.param(CLIENTS, id="negative control")])
def test_concurrent_requests_stay_below_the_limit(serve: Serve, at_once: int) -> None:
    gate = serve(ENDLESS, at_once)
    gate.come("/hold")

    eventually(lambda: gate.counts[0] == at_once)

    assert gate.let_all_through() == at_once


def test_permit_expires_while_its_request_blocks(serve: Serve) -> None:
    gate = serve(SERVED, 2)
    gate.come("/hold")

    eventually(lambda: gate.counts[0] == CLIENTS)


def test_released_permit_starts_the_next_request(serve: Serve) -> None:
    gate = serve(ENDLESS, 2)
    gate.come("/aside")

    eventually(lambda: gate.counts[0] == CLIENTS)


@pytest.mark.parametrize(("config", "expected"), [(ENDLESS, 1), (UNCROWDED, 3)], ids=["guarded", "negative control"])
def test_serialized_requests_run_one_at_a_time(serve: Serve, config: str, expected: int) -> None:
    gate = serve(config, 3)
    gate.come("/crowd")

    eventually(lambda: gate.counts[0] == expected)

    assert gate.let_all_through() == expected


def test_other_requests_overtake_serialized_ones(serve: Serve) -> None:
    gate = serve(ENDLESS, 1)
    gate.come("/crowd")
    eventually(lambda: gate.counts[0] == 1)

    assert gate.post("/something/else") == 200
    assert gate.counts[0] == 1
