"""The worker that web's gunicorn has: threads, of which a few run at once, and no client that holds up the others.

Each of its departures from gunicorn's own is stated where it is made; docs/decisions/0027 and 0030 say why.
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
from shared.settings import settings
from web.server.read_deadline import DeadlineReader

SERIALIZED_CONCURRENCY = 1
LINGER_SECONDS = 2.0
LINGER_BYTES = 65_536
REQUEUED = object()
"""What became of a request that stands in line with its crowd now."""


class RequestReader(RequestParser):  # type: ignore[misc]
    """A connection's requests, read with patience; one may be put back, to be read again later."""

    def __init__(self, conn: Any) -> None:
        super().__init__(conn.cfg, conn.sock, conn.client)
        self.unreader = DeadlineReader(
            conn.sock, settings().request_read_timeout_seconds, settings().request_min_bytes_per_second
        )
        self._again: Any = None
        self._put_back_at = 0.0

    def unread(self, request: Any) -> None:
        self._again, self._put_back_at = request, time.monotonic()

    def __next__(self) -> Any:
        if self._again is None:
            self.unreader.start_request()
            return super().__next__()
        request, self._again = self._again, None
        self.unreader.extend(time.monotonic() - self._put_back_at)
        return request


class LimitedThreadWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker of threads, whose requests take turns: as many run as there are connections to PostgreSQL.
    Those that come in crowds stand in a line of their own as soon as it is known what they ask for."""

    def init_process(self) -> None:
        self.turns = ConcurrencyLimiter(min(settings().database_pool_size, settings().web_threads), self.start)
        self.crowd = ConcurrencyLimiter(SERIALIZED_CONCURRENCY, self.start)
        self.lingering: dict[Any, None] = {}  # in order
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Have the connection's next request served when its turn comes."""
        if conn.parser is None:
            conn.parser = RequestReader(conn)
        self.turns.submit(conn)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """A kept connection has something to read: a request, or only its end, for which nobody needs a thread."""
        if peek(conn.sock) == b"":
            self.poller.unregister(client)
            self.keepalived_conns.remove(conn)
            self.close_connection(conn)
        else:
            super().on_client_socket_readable(conn, client)

    def start(self, conn: Any, turn: Any) -> None:
        with suppress(RuntimeError):  # the process ends: nobody is served any more
            self.tpool.submit(self.serve, conn, turn)

    def serve(self, conn: Any, turn: Any) -> None:
        """Serve this request, and then whoever is next: a thread that goes on costs less than another that wakes up."""
        while True:
            conn.turn = turn
            served: Future[Any] = Future()
            with turn:
                try:
                    served.set_result(self.handle(conn))
                except BaseException as error:  # noqa: BLE001 - as an executor does
                    served.set_exception(error)
            if served.exception() is None and served.result() is REQUEUED:
                self.crowd.submit(conn)
                self.method_queue.defer(lambda: None)  # wakes the main thread, which ends leases
            else:
                self.method_queue.defer(self.finish_request, conn, served)
            if self.tpool._work_queue.qsize():  # who has a turn already, but no thread yet, comes before who has none
                turn.turns.release(turn)
                return
            if (found := turn.turns.release_and_take_next(turn)) is None:
                return
            conn, turn = found

    def handle(self, conn: Any) -> Any:
        """Give a new connection a thread once something has come over it. gunicorn's own waits five seconds for the
        first byte, in which as many silent connections as there are threads held everybody up."""
        if not conn.initialized and not conn.data_ready and peek(conn.sock) is None:
            return _DEFER
        conn.data_ready = True
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve this request, or put it back for the turn of its crowd."""
        routes = getattr(self.wsgi, "extensions", {}).get(SERIALIZED_ROUTES, ())
        if conn.turn.turns is not self.crowd and (req.method, unquote(req.path)) in routes:
            conn.parser.unread(req)
            return REQUEUED
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> Any:
        return REQUEUED if keepalive is REQUEUED else super()._keepalive_after(conn, keepalive)

    def wait_for_and_dispatch_events(self, timeout: Any) -> None:
        """As gunicorn's, but no longer than until a lease ends for which somebody waits."""
        while self.lingering and (oldest := next(iter(self.lingering))).timeout <= time.monotonic():
            self.stop_lingering(oldest)
        leases = [self.turns.expire_permits(), self.crowd.expire_permits()]
        super().wait_for_and_dispatch_events(min([timeout, *(left for left in leases if left is not None)]))

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Count a WebSocket's connection out once. It is closed by its own end already, which gunicorn takes for an
        error and counts again; below zero, a process that stops no longer waits for its requests in flight."""
        if conn.sock.fileno() == -1:
            self.nr_conns -= 1
        elif fs.exception() is None and not fs.result():
            self.linger(conn)
        else:
            super().finish_request(conn, fs)

    def linger(self, conn: Any) -> None:
        """Say that nothing more will come, and close the connection once the client has closed it, too (RFC 9112, 9.6),
        or a little later. gunicorn waits for each client in its only loop, where nobody else is served meanwhile."""
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
        """Drop what the client still says, up to a limit."""
        try:
            said = conn.sock.recv(LINGER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        conn.dropped += len(said)
        if not said or conn.dropped > LINGER_BYTES:
            self.stop_lingering(conn)

    def stop_lingering(self, conn: Any) -> None:
        del self.lingering[conn]
        self.poller.unregister(conn.sock)
        self.close_connection(conn)

    def close_connection(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


def peek(sock: socket.socket) -> bytes | None:
    """The first byte of what a client has sent; none where it has closed the connection, None where it is silent."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def detach_socket(sock: socket.socket) -> socket.socket:
    """The same connection under a number of its own, which nobody else can close: a WebSocket's thread outlives its
    request by a moment, and would close it while the poller looks at it, and at whoever has the number next."""
    own = sock.dup()
    sock.close()
    own.setblocking(False)
    return own
