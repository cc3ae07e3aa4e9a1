"""What gunicorn's gevent worker needs around the application: deadlines, and a queue for password hashing.

Only the gunicorn process loads this module. The application itself does not depend on gevent.
"""

import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from io import BytesIO, RawIOBase
from itertools import islice
from math import inf
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from gunicorn.http.errors import ParseException

from shared.infra.metrics import Gauge, Histogram
from web.http.request_context import MAX_BODY_BYTES, QUEUE_FULL, SERIALIZED_ROUTES

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
PIECE_BYTES = 8_192
MAX_WAITING = 400
"""Log-ins that wait in one process, for about a minute."""

TIMER_DELAY = Histogram(
    "waymark_event_loop_delay_seconds",
    "How late the event loop runs a timer, twice a second. More than a few milliseconds is an overloaded process.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
PASSWORD_WAIT = Histogram(
    "waymark_password_queue_wait_seconds",
    "Time that a request waited until its password was hashed.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
PASSWORD_QUEUED = Gauge(
    "waymark_password_requests_queued",
    "Requests that wait until their password is hashed.",
    multiprocess_mode="livesum",
)


class TimedBody(RawIOBase):
    """A request body that raises TimeoutError at a deadline. Its connection is then closed after the response.

    Raises ConnectionError if the body is shorter than its declared length, because a truncated file may look complete.
    """

    def __init__(self, environ: Environ, seconds: float, min_bytes_per_second: float) -> None:
        self._body, self._connection = environ["wsgi.input"], environ["gunicorn.socket"]
        self._missing = int(environ.get("CONTENT_LENGTH") or 0)
        self._rate = min_bytes_per_second
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._read(len(buffer))
        except TimeoutError:
            self._deadline = -inf
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RD)
            raise
        if len(data) < min(len(buffer), self._missing):
            raise ConnectionError("The body ended early.")
        self._missing -= len(data)
        self._deadline += len(data) / self._rate
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        # A long read has the time that its bytes may take.
        remaining = self._deadline - time.monotonic() + size / self._rate
        if remaining <= 0:
            raise TimeoutError
        with gevent.Timeout(remaining, TimeoutError):
            data: bytes = self._body.read(size)
        return data


class RequestDeadline:
    """Bodies arrive within `seconds`, plus one second per `min_bytes_per_second` bytes."""

    def __init__(self, app: Application, seconds: float, min_bytes_per_second: float) -> None:
        self._app, self._limits = app, (seconds, min_bytes_per_second)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"] = TimedBody(environ, *self._limits)
        return self._app(environ, start_response)


class PasswordQueue:
    """Runs `limit` requests to the routes that hash passwords at a time. The others wait in order, with their body.

    The application rejects requests beyond MAX_WAITING.
    """

    def __init__(self, app: Application, limit: int) -> None:
        self._app, self._slots = app, BoundedSemaphore(limit)
        self._waiting = 0

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        routes = getattr(self._app, "extensions", {}).get(SERIALIZED_ROUTES, ())
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) not in routes:
            return self._app(environ, start_response)
        # The body is read first, so that a client that sends slowly does not delay other logins. If that fails, or the
        # body is too long, the application reads it again and rejects it.
        if int(environ.get("CONTENT_LENGTH") or 0) <= MAX_BODY_BYTES:
            pieces = iter(partial(environ["wsgi.input"].read, PIECE_BYTES), b"")
            with suppress(OSError, ParseException):
                environ["wsgi.input"] = BytesIO(b"".join(islice(pieces, MAX_BODY_BYTES // PIECE_BYTES + 1)))
        if self._waiting >= MAX_WAITING:
            environ[QUEUE_FULL] = True
            return self._app(environ, start_response)
        self._waiting += 1
        try:
            with PASSWORD_QUEUED.track_inprogress(), PASSWORD_WAIT.time():
                self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            return self._app(environ, start_response)
        finally:
            self._slots.release()
