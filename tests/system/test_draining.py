"""A web process that stops while clients reuse their connections."""

import http.client
import json
import select
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from script.stack.ports import LOOPBACK
from tests.system.test_visits import web

pytestmark = pytest.mark.system

CLIENTS, BUSY = 20, 4


class Client:
    """A client that keeps its connection open, as the pool of a load balancer."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
        self.connection.connect()
        self.socket = self.connection.sock

    def get(self, path: str = "/healthz") -> tuple[int, Any]:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        return response.status, json.load(response)

    @property
    def is_reusable(self) -> bool:
        """False once a response has closed the connection."""
        return self.connection.sock is not None


def repeat(client: Client) -> set[int]:
    """Return the statuses of requests until a response closes the connection."""
    statuses = set()
    while client.is_reusable:
        statuses.add(client.get()[0])
    return statuses


def test_stop_loses_no_request_on_a_reused_connection() -> None:
    with web() as (port, process), ThreadPoolExecutor(BUSY) as threads:
        clients = [Client(port) for _ in range(CLIENTS)]
        assert [client.get() for client in clients] == [(200, {"status": "ok"})] * CLIENTS
        silent, probe, *idle = clients
        busy = [threads.submit(repeat, Client(port)) for _ in range(BUSY)]

        process.send_signal(signal.SIGTERM)
        repeat(probe)

        assert [client.get() for client in idle] == [(200, {"status": "ok"})] * len(idle)
        assert not any(client.is_reusable for client in idle)
        assert [thread.result() for thread in busy] == [{200}] * BUSY
        # The process closes the last connection just when its client sends another request.
        select.select([silent.socket], [], [])
        status, problem = silent.get()
        assert (status, problem["code"]) == (503, "draining")
        assert process.wait(30) == 0
