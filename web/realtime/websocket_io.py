"""Send over a WebSocket: whole frames, one at a time, with a timeout."""

import socket
import threading
from typing import Any

from simple_websocket import ConnectionClosed, Server
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError

SEND_TIMEOUT_SECONDS = 10
"""A socket is closed if its client's receive buffer stays full for this time."""


class SerializedSocket:
    """A socket that sends each frame whole, and one at a time."""

    # The request sends messages while the library's own thread sends pings and pongs. The library calls
    # `socket.send`, which may write only the start of a frame if the client reads slowly.

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()

    def send(self, data: bytes) -> int:
        with self._lock:
            self._sock.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def send(ws: Server, text: str) -> None:
    """Send one message. Raise ConnectionClosed if the client closed the socket or has not read for 10 seconds."""
    try:
        ws.sock.send(ws.ws.send(TextMessage(data=text)))
    except (OSError, LocalProtocolError) as error:
        ws.connected = False
        raise ConnectionClosed from error


def configure(ws: Server) -> None:
    """Send whole frames on this socket, with a send timeout. Raise ConnectionClosed if the client closed it."""
    ws.sock = SerializedSocket(ws.sock)
    try:
        ws.sock.settimeout(SEND_TIMEOUT_SECONDS)
    except OSError as error:
        raise ConnectionClosed from error
