"""A deadline for the arrival of a request. Without it, a client that sends byte by byte would hold a thread."""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader

IDLE_TIMEOUT_SECONDS = 10.0
"""How long a client may send nothing in the middle of a request, or read nothing of its response."""


class ReadTimeout(NoMoreData, TimeoutError):  # type: ignore[misc]
    """The request arrives too slowly. gunicorn closes the connection; within a body, the application sends 408."""


class DeadlineReader(SocketUnreader):  # type: ignore[misc]
    """Reads requests that arrive within `seconds`, plus one second per `rate` bytes.

    Raises NoMoreData if a body ends before its Content-Length.
    """

    def __init__(self, sock: Any, seconds: float, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(sock)
        self._timeout = IDLE_TIMEOUT_SECONDS
        self._seconds, self._rate, self._clock = seconds, rate, clock
        self.start_request()

    def start_request(self) -> None:
        """Reset the deadline. The time of the next request starts with its first byte."""
        self._started_at: float | None = None
        self._bytes = 0
        self.is_body = False

    def extend(self, seconds: float) -> None:
        """Extend the read deadline by the time that the request spent in the server's queue."""
        if self._started_at is not None:
            self._started_at += seconds

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, b"" at the end of the connection between requests. Raises ReadTimeout."""
        if self._started_at is None:
            self._started_at = self._clock()
        remaining = self._seconds + self._bytes / self._rate - (self._clock() - self._started_at)
        if remaining <= 0:
            raise ReadTimeout
        self._set_timeout(min(remaining, IDLE_TIMEOUT_SECONDS))
        try:
            data: bytes = super().chunk(size_hint)
        except BlockingIOError:  # SO_RCVTIMEO expired
            raise ReadTimeout from None
        if not data and self.is_body:
            raise NoMoreData
        self._bytes += len(data)
        return data

    def _set_timeout(self, seconds: float) -> None:
        # SO_RCVTIMEO, because the socket stays a blocking one. The system call is made for changes only.
        if seconds != self._timeout:
            self._timeout = seconds
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(seconds))


def timeval(seconds: float) -> bytes:
    """Return a timeout in the format of SO_RCVTIMEO and SO_SNDTIMEO, at least a microsecond: zero means none."""
    return struct.pack("ll", *divmod(max(1, int(seconds * 1_000_000)), 1_000_000))
