"""Send over a WebSocket: whole frames, one at a time, with a timeout."""

import socket
import threading
from contextlib import suppress
from functools import lru_cache
from typing import Any

from simple_websocket import ConnectionClosed, Server
from wsproto.frame_protocol import FrameProtocol

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
            # gevent's `sendall` costs as much as the rest of a delivery. A frame usually fits into the buffer.
            sent: int = self._sock.send(data)
            if sent < len(data):
                self._sock.sendall(memoryview(data)[sent:])
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@lru_cache(maxsize=256)
def text_frame(text: str) -> bytes:
    """Return the frame of a text message (RFC 6455, 5.2). It is the same for every socket, because none compresses."""
    return bytes(FrameProtocol(client=False, extensions=[]).send_data(text))


def send(ws: Server, text: str) -> None:
    """Send one message. Raise ConnectionClosed if the client closed the socket or has not read for 10 seconds."""
    if not ws.connected:
        raise ConnectionClosed
    try:
        ws.sock.send(text_frame(text))
    except OSError as error:
        ws.connected = False
        raise ConnectionClosed from error


def disconnect(ws: Server) -> None:
    """Close the connection at once. A send that waits for the client then raises ConnectionClosed."""
    with suppress(OSError):
        ws.sock.shutdown(socket.SHUT_RDWR)


def configure(ws: Server) -> None:
    """Send whole frames on this socket, with a send timeout. Raise ConnectionClosed if the client closed it."""
    ws.sock = SerializedSocket(ws.sock)
    try:
        ws.sock.settimeout(SEND_TIMEOUT_SECONDS)
    except OSError as error:
        raise ConnectionClosed from error
