"""A gunicorn worker whose threads run a limited number of requests, and which no slow client can block.

Each method states how it differs from gunicorn's. docs/decisions/0027 and 0030 explain why.
"""

import selectors
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote

from gunicorn.http import RequestParser
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from shared.infra.concurrency import SERIALIZED_ROUTES, ConcurrencyLimiter
from web.server.read_deadline import DeadlineReader

SERIALIZED_CONCURRENCY = 1
LINGER_SECONDS = 2.0
LINGER_BYTES = 65_536
REQUEUED = object()
"""The result of a request that was moved to the queue of serialized requests."""


class RequestReader(RequestParser):  # type: ignore[misc]
    """The requests of a connection, read with a deadline. One request can be unread, to be read again later."""

    def __init__(self, conn: Any, read_timeout_seconds: float, min_bytes_per_second: float) -> None:
        super().__init__(conn.cfg, conn.sock, conn.client)
        self.unreader = DeadlineReader(conn.sock, read_timeout_seconds, min_bytes_per_second)
        self._again: Any = None
        self._unread_at = 0.0

    def unread(self, request: Any) -> None:
        self._again, self._unread_at = request, time.monotonic()

    def __next__(self) -> Any:
        if self._again is None:
            self.unreader.start_request()
            return super().__next__()
        request, self._again = self._again, None
        self.unreader.extend(time.monotonic() - self._unread_at)
        return request


class LimitedThreadWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's thread worker with a limit: `concurrency` requests run at a time.

    Requests to serialized routes wait in a queue of their own once their path is read. A subclass sets the attributes.
    """

    concurrency = 12
    read_timeout_seconds = 30.0
    min_bytes_per_second = 16_384

    def init_process(self) -> None:
        self.limiter = ConcurrencyLimiter(self.concurrency, self.start)
        self.serialized = ConcurrencyLimiter(SERIALIZED_CONCURRENCY, self.start)
        self.lingering: dict[Any, None] = {}  # in order
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Queue the connection's next request."""
        if conn.parser is None:
            conn.parser = RequestReader(conn, self.read_timeout_seconds, self.min_bytes_per_second)
        self.limiter.submit(conn)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Read from a keep-alive connection. Its end needs no thread."""
        if peek(conn.sock) == b"":
            self.poller.unregister(client)
            self.keepalived_conns.remove(conn)
            self.close_connection(conn)
        else:
            super().on_client_socket_readable(conn, client)

    def start(self, conn: Any, permit: Any) -> None:
        with suppress(RuntimeError):  # the process is stopping
            self.tpool.submit(self.serve, conn, permit)

    def serve(self, conn: Any, permit: Any) -> None:
        """Serve this request, then the next one: to continue in this thread costs less than to wake another."""
        while True:
            conn.permit = permit
            served: Future[Any] = Future()
            with permit:
                try:
                    served.set_result(self.handle(conn))
                except BaseException as error:  # noqa: BLE001 - as an executor does
                    served.set_exception(error)
            if served.exception() is None and served.result() is REQUEUED:
                self.serialized.submit(conn)
                self.method_queue.defer(lambda: None)  # wakes the main thread, which expires permits
            else:
                self.method_queue.defer(self.finish_request, conn, served)
            # A request that has a permit but no thread yet goes before one without a permit.
            if self.tpool._work_queue.qsize():
                permit.limiter.release(permit)
                return
            if (following := permit.limiter.release_and_take_next(permit)) is None:
                return
            conn, permit = following

    def handle(self, conn: Any) -> Any:
        """Serve a new connection once its first byte has arrived.

        gunicorn waits five seconds for it, so as many silent connections as there are threads would block the worker.
        """
        if not conn.initialized and not conn.data_ready and peek(conn.sock) is None:
            return _DEFER
        conn.data_ready = True
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve this request, or unread it for the queue of serialized requests."""
        routes = getattr(self.wsgi, "extensions", {}).get(SERIALIZED_ROUTES, ())
        if conn.permit.limiter is not self.serialized and (req.method, unquote(req.path)) in routes:
            conn.parser.unread(req)
            return REQUEUED
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> Any:
        return REQUEUED if keepalive is REQUEUED else super()._keepalive_after(conn, keepalive)

    def wait_for_and_dispatch_events(self, timeout: Any) -> None:
        """Wait as gunicorn does, but not beyond the next expiry of a permit that a request waits for."""
        while self.lingering and (oldest := next(iter(self.lingering))).timeout <= time.monotonic():
            self.stop_lingering(oldest)
        expiries = [self.limiter.expire_permits(), self.serialized.expire_permits()]
        super().wait_for_and_dispatch_events(min([timeout, *(seconds for seconds in expiries if seconds is not None)]))

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Count the end of a WebSocket's connection once.

        It is already closed, which gunicorn takes for an error and counts again. With a count below zero, a process
        that stops would not wait for its requests in flight.
        """
        if conn.sock.fileno() == -1:
            self.nr_conns -= 1
        elif fs.exception() is None and not fs.result():
            self.linger(conn)
        else:
            super().finish_request(conn, fs)

    def linger(self, conn: Any) -> None:
        """Shut down sending, and close the connection when the client closes it (RFC 9112, 9.6) or after 2 seconds.

        gunicorn waits for each client in its only loop, which blocks all others.
        """
        conn.timeout, conn.dropped = time.monotonic() + LINGER_SECONDS, 0
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            is_closed = peek(conn.sock) == b""
            if not is_closed:
                conn.sock = detach_socket(conn.sock)
                self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.drain, conn))
        except (OSError, ValueError):
            is_closed = True
        if is_closed:
            self.close_connection(conn)
        else:
            self.lingering[conn] = None

    def drain(self, conn: Any, _client: Any) -> None:
        """Discard what the client still sends, up to a limit."""
        try:
            data = conn.sock.recv(LINGER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.dropped += len(data)
        if not data or conn.dropped > LINGER_BYTES:
            self.stop_lingering(conn)

    def stop_lingering(self, conn: Any) -> None:
        del self.lingering[conn]
        self.poller.unregister(conn.sock)
        self.close_connection(conn)

    def close_connection(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


def peek(sock: socket.socket) -> bytes | None:
    """Return the first unread byte of a client, b"" if it closed the connection, None if it sent nothing yet."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def detach_socket(sock: socket.socket) -> socket.socket:
    """Return the same connection under a new file descriptor, which no other thread closes."""
    # A WebSocket's thread ends shortly after its request. It would close the descriptor while the poller waits on it,
    # and the number may then belong to another connection.
    duplicate = sock.dup()
    sock.close()
    duplicate.setblocking(False)
    return duplicate
