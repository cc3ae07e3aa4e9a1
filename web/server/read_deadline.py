"""How long a request may take to arrive: a client that dribbles would keep a thread for as long as it likes."""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader

IDLE_TIMEOUT_SECONDS = 10.0
"""How long a client may say nothing in the middle of a request, or read nothing of its answer."""


class ReadTimeout(NoMoreData, TimeoutError):  # type: ignore[misc]
    """The request takes too long to arrive. gunicorn closes the connection without a word while it has no head yet; of
    the body, the application says 408."""


class DeadlineReader(SocketUnreader):  # type: ignore[misc]
    """Reads requests that arrive within so many seconds, and whatever is longer at so many bytes a second. A body that
    ends before the length it was said to have is no body."""

    def __init__(self, sock: Any, seconds: float, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(sock)
        self._waits = IDLE_TIMEOUT_SECONDS
        self._seconds, self._rate, self._clock = seconds, rate, clock
        self.start_request()

    def start_request(self) -> None:
        """The next request may come. Its time runs from its first byte."""
        self._began: float | None = None
        self._bytes = 0
        self.is_body = False

    def extend(self, seconds: float) -> None:
        """So many passed in which it was not the client who kept us waiting."""
        if self._began is not None:
            self._began += seconds

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self._began is None:
            self._began = self._clock()
        left = self._seconds + self._bytes / self._rate - (self._clock() - self._began)
        if left <= 0:
            raise ReadTimeout
        self._wait_for(min(left, IDLE_TIMEOUT_SECONDS))
        try:
            data: bytes = super().chunk(size_hint)
        except BlockingIOError:  # silent for longer than the socket allows
            raise ReadTimeout from None
        if not data and self.is_body:
            raise NoMoreData
        self._bytes += len(data)
        return data

    def _wait_for(self, seconds: float) -> None:
        """As the system counts it, for the socket stays a blocking one; it is told of changes only."""
        if seconds != self._waits:
            self._waits = seconds
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(seconds))


def timeval(seconds: float) -> bytes:
    """A time limit as SO_RCVTIMEO and SO_SNDTIMEO take it; zero would mean none."""
    return struct.pack("ll", *divmod(max(1, int(seconds * 1_000_000)), 1_000_000))
