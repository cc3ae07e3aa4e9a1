"""A web process that stops while clients reuse their connections."""

import http.client
import json
import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent.socket
import pytest
from gevent.pool import Pool

from script.stack.ports import LOOPBACK
from shared.infra.event_log import Event
from shared.infra.pubsub_messages import EVENTS_CHANNEL, encode
from shared.infra.redis import client as redis_client
from shared.infra.redis import key
from tests.support.callers import SignedInPlayer, sign_in
from tests.support.polling import eventually
from tests.system.test_visits import web
from web.gunicorn_worker import Worker

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


def open_websocket(port: int, player: SignedInPlayer) -> socket.socket:
    """Open a socket of the player's events, with a small buffer. It then reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.settimeout(30)
    sock.connect((LOOPBACK, port))
    sock.sendall(
        f"GET /ws/{player.id} HTTP/1.1\r\nHost: waymark\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: {player.headers['Authorization']}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101")
    return sock


def test_closed_port_resets_no_connection() -> None:
    """The kernel has accepted connections that the process has not taken yet. Their requests are on the way."""

    class EchoingWorker(Worker):
        cfg = SimpleNamespace(workers=1)

        def __init__(self) -> None:
            pass

        def handle(self, listener: Any, client: Any, addr: Any) -> None:  # noqa: ARG002
            # gunicorn reads the address of the port for each connection, also when it is closed.
            assert listener.getsockname() == address
            client.sendall(client.recv(4))

    with socket.create_server((LOOPBACK, 0)) as port:
        address = port.getsockname()
        listener = gevent.socket.socket(fileno=port.detach())
    server = EchoingWorker().server_class(listener, spawn=Pool(100))
    server.start()
    clients = [socket.create_connection(address) for _ in range(20)]
    for client in clients:
        client.sendall(b"scan")

    server.close()

    assert server.pool.join(30)
    assert [client.recv(4) for client in clients] == [b"scan"] * len(clients)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_client_that_keeps_tcp_open_after_the_close_frame_delays_no_stop(app: Any, conn: Any) -> None:
    """Neither does the client answer the close frame, nor does it close its end."""
    ada = sign_in(app, conn)
    with web() as (port, process), open_websocket(port, ada) as silent, open_websocket(port, ada) as other:
        process.send_signal(signal.SIGTERM)

        for sock in (silent, other):
            frame = sock.recv(4)
            assert (frame[:1], frame[2:]) == (b"\x88", (1001).to_bytes(2))
            # The process ends the connection, and then itself, while the client still holds its end.
            while sock.recv(1_000):
                pass
        assert process.wait(30) == 0


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the queues of Linux")
def test_client_that_reads_nothing_delays_no_stop(app: Any, conn: Any, tmp_path: Path) -> None:
    """A process with a send that waits for its client has open requests until the end of its grace period."""
    ada = sign_in(app, conn)
    with (
        (tmp_path / "log").open("w") as log,
        web(log=log) as (port, process),
        open_websocket(port, ada) as stuck,
    ):
        for number in range(60):
            event = Event(1_000_000 + number, "test", ada.id, None, {"text": 100_000 * "x"}, datetime.now(UTC))
            redis_client().publish(key(EVENTS_CHANNEL), encode([event]))
        queues = [0]

        def is_full() -> bool:
            queues.append(unread(stuck))
            return queues[-1] > 0 and len(set(queues[-5:])) == 1

        eventually(is_full)
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 0
    assert "Shutting down" in (text := (tmp_path / "log").read_text())
    assert "graceful timeout" not in text


def unread(client: socket.socket) -> int:
    """Return how many bytes the server has sent that this client has not taken: tx_queue in proc(5)."""
    port = f":{client.getsockname()[1]:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (queue,) = [fields[4].partition(":")[0] for fields in lines if fields[2].endswith(port) and fields[3] == "01"]
    return int(queue, 16)
