"""Sending over a WebSocket: whole frames, one after the other, to a client that reads."""

import socket
import struct
import threading
from typing import Any

from simple_websocket import ConnectionClosed, Server
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError

SEND_TIMEOUT_SECONDS = 10  # how long a client may leave its receive buffer full


class SerializedSocket:
    """A socket that sends each frame whole, one after the other.

    A socket's thread sends messages while the library's own thread sends pings and pongs; and `socket.send`, which the
    library uses, may leave the end of a frame behind when the client reads slowly.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._writing = threading.Lock()

    def send(self, data: bytes) -> int:
        with self._writing:
            self._sock.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def send(ws: Server, text: str) -> None:
    """Send one message. Raises ConnectionClosed when the client has gone, or has not read for too long."""
    try:
        ws.sock.send(ws.ws.send(TextMessage(data=text)))
    except (OSError, LocalProtocolError) as error:
        ws.connected = False
        raise ConnectionClosed from error


def configure(ws: Server) -> None:
    """Have frames sent whole, and a send fail when the client does not read for a while; it may be silent."""
    ws.sock = SerializedSocket(ws.sock)
    try:
        ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_SECONDS, 0))
    except OSError as error:  # the client has gone already
        raise ConnectionClosed from error
