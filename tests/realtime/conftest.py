"""A real server and relay in threads of the test process, and WebSocket clients."""

import json
import struct
import threading
from collections.abc import Callable, Iterator
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest
import websocket

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.relay_wakeup import wake_relay
from tests.conftest import Player
from tests.support import factories
from tests.support.threaded_server import PATIENCE, serving
from workers import relay as relaying


@pytest.fixture
def server(app: Any, clean: None) -> Iterator[str]:
    """Serve the application and return its address."""
    with serving(app) as address:
        yield address


@pytest.fixture
def relay(clean: None) -> Iterator[Callable[[], None]]:
    """Return a function that starts a relay. Each call starts another one; all stop at the end."""
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def follow() -> None:
        with db.dedicated_connection() as conn:
            relaying.relay_events(conn, stopping)

    def start() -> None:
        threads.append(threading.Thread(target=follow, daemon=True))
        threads[-1].start()

    yield start
    stopping.set()
    wake_relay()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Socket:
    """The client's end of a WebSocket."""

    def __init__(self, url: str, **options: Any) -> None:
        self.ws = websocket.create_connection(url, timeout=PATIENCE, **options)

    def next(self) -> dict[str, Any]:
        message = json.loads(self.ws.recv())
        assert isinstance(message, dict)
        return message

    def next_frame(self) -> tuple[int, bytes]:
        """Return opcode and data of the next frame. A ping is not answered."""
        frame = self.ws.recv_frame()  # type: ignore[no-untyped-call]
        return frame.opcode, frame.data

    def drop(self) -> None:
        """Reset the connection, as a phone that loses its network."""
        assert self.ws.sock is not None
        self.ws.sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.ws.sock.close()

    def take(self, n: int) -> list[dict[str, Any]]:
        return [self.next() for _ in range(n)]

    def hears_nothing(self, seconds: float = 0.3) -> bool:
        self.ws.settimeout(seconds)
        try:
            self.ws.recv()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.ws.settimeout(PATIENCE)
        return False

    def closed_with(self, *, nothing_before: bool = False) -> int:
        """Return the code with which the server closes the socket. Messages before it are skipped or forbidden."""
        while True:
            opcode, data = self.ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big")
            assert not nothing_before, data


@pytest.fixture
def connect(server: str) -> Iterator[Callable[..., Socket]]:
    """Return a function that opens a player's socket: `connect(player)`, or any path with any headers."""
    opened: list[Socket] = []

    def make(player: Player | None = None, path: str | None = None, query: str = "", **options: Any) -> Socket:
        if player is not None:
            options.setdefault("header", player.headers)
        target = path or f"/ws/{player.id if player else ''}"
        opened.append(Socket(f"ws://{server}{target}{query}", **options))
        return opened[-1]

    yield make
    for socket in opened:
        socket.ws.close()


Connect = Callable[..., Socket]
Relay = Callable[[], None]


def say(conn: Conn, player: Player, *names: str, org_id: Any = None) -> None:
    """Append one event per name, each in a separate transaction."""
    for name in names:
        factories.append_event(conn, "test", player.id, org_id, name=name)


def names(messages: list[dict[str, Any]]) -> list[str]:
    return [message["name"] for message in messages]


def refused(connect: Connect, *args: Any, **options: Any) -> int:
    """Return the HTTP status with which the upgrade is rejected."""
    with pytest.raises(websocket.WebSocketBadStatusException) as rejected:
        connect(*args, **options)
    return rejected.value.status_code
