"""gunicorn: threads, so that flask-sock works; a few run at once; sockets and waits are let go first when it ends."""

import gc
import signal
import socket
from concurrent.futures import Future
from contextlib import suppress
from types import FrameType
from typing import Any
from urllib.parse import unquote

from gunicorn.http import RequestParser
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from shared.settings import settings
from shared.turns import CROWDS, Turns
from web.patience import SILENT_SECONDS, Patience, limit_of

CROWDS_AT_ONCE = 1
LATER = object()
"""What became of a request that stands in line with its crowd now."""


class Requests(RequestParser):  # type: ignore[misc]
    """A connection's requests, read with patience; one may be put back, to be read again later."""

    def __init__(self, conn) -> None:  # type: ignore[no-untyped-def]
        super().__init__(conn.cfg, conn.sock, conn.client)
        self.unreader = Patience(conn.sock, settings().request_seconds, settings().request_bytes_per_second)
        self._again = None

    def put_back(self, request) -> None:  # type: ignore[no-untyped-def]
        self._again = request

    def __next__(self):  # type: ignore[no-untyped-def]
        if self._again is None:
            self.unreader.begin()
            return super().__next__()
        request, self._again = self._again, None
        return request


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker of threads, whose requests take turns: as many run as there are connections to PostgreSQL.
    Those that come in crowds stand in a line of their own as soon as it is known what they ask for."""

    def init_process(self):  # type: ignore[no-untyped-def]
        self.turns = Turns(min(settings().database_pool, settings().web_threads), self.start)
        self.crowd = Turns(CROWDS_AT_ONCE, self.start)
        super().init_process()

    def enqueue_req(self, conn):  # type: ignore[no-untyped-def]
        """Have the connection's next request served when its turn comes."""
        if conn.parser is None:
            conn.parser = Requests(conn)
        self.turns.ask(conn)

    def start(self, conn, turn):  # type: ignore[no-untyped-def]
        with suppress(RuntimeError):  # the process ends: nobody is served any more
            self.tpool.submit(self.serve, conn, turn)

    def serve(self, conn, turn):  # type: ignore[no-untyped-def]
        """Serve this request, and then whoever is next: a thread that goes on costs less than another that wakes up."""
        while True:
            conn.turn = turn
            served: Future[Any] = Future()
            with turn:
                try:
                    served.set_result(self.handle(conn))  # type: ignore[no-untyped-call]
                except BaseException as error:  # noqa: BLE001 - as an executor does
                    served.set_exception(error)
            if served.exception() is None and served.result() is LATER:
                self.crowd.ask(conn)
                self.method_queue.defer(lambda: None)  # wakes the main thread, which ends leases
            else:
                self.method_queue.defer(self.finish_request, conn, served)
            if (found := turn.turns.pass_on(turn)) is None:
                return
            conn, turn = found

    def handle(self, conn):  # type: ignore[no-untyped-def]
        """Give a new connection a thread once something has come over it. gunicorn's own waits five seconds for the
        first byte, in which as many silent connections as there are threads held everybody up."""
        if not conn.initialized and not conn.data_ready and is_silent(conn.sock):
            return _DEFER
        conn.data_ready = True
        return super().handle(conn)

    def handle_request(self, req, conn):  # type: ignore[no-untyped-def]
        """Serve this request, or put it back for the turn of its crowd."""
        routes = getattr(self.wsgi, "extensions", {}).get(CROWDS, ())
        if conn.turn.turns is not self.crowd and (req.method, unquote(req.path)) in routes:
            conn.parser.put_back(req)
            return LATER
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn, keepalive):  # type: ignore[no-untyped-def]
        return LATER if keepalive is LATER else super()._keepalive_after(conn, keepalive)

    def wait_for_and_dispatch_events(self, timeout):  # type: ignore[no-untyped-def]
        """As gunicorn's, but no longer than until a lease ends for which somebody waits."""
        leases = [self.turns.end_leases(), self.crowd.end_leases()]
        super().wait_for_and_dispatch_events(min([timeout, *(left for left in leases if left is not None)]))

    def finish_request(self, conn, fs):  # type: ignore[no-untyped-def]
        """Count a WebSocket's connection out once. It is closed by its own end already, which gunicorn takes for an
        error and counts again; below zero, a process that stops no longer waits for its requests in flight."""
        if conn.sock.fileno() == -1:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)


def is_silent(sock: socket.socket) -> bool:
    """Whether a connection has brought nothing yet, not even its end."""
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:  # broken: the parser will say so
        pass
    return False


bind = f"{settings().host}:{settings().port}"
worker_class = Worker
threads = settings().web_threads
worker_connections = 4 * settings().web_threads + 1_000
timeout = 30
graceful_timeout = 8
keepalive = 30
limit_request_line = 8190  # a signed link or a cursor is far shorter
limit_request_fields = 100
limit_request_field_size = 8190
control_socket_disable = True
forwarded_allow_ips = ""  # TRUSTED_PROXIES decides, in one place
accesslog = None  # the application logs in its own shape


def when_ready(server) -> None:  # type: ignore[no-untyped-def]
    """Give up on a client that stops in the middle of a request, or does not read its answer: it would keep a thread
    for as long as it likes.

    Accepted sockets inherit the limits from the listening one; a WebSocket only reads when there is something to read.
    """
    limit = limit_of(SILENT_SECONDS)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def pre_request(worker, req) -> None:  # type: ignore[no-untyped-def]
    if isinstance(req.unreader, Patience):
        req.unreader.is_body = True  # what is read from now on


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def]
    """On SIGTERM, close this process's sockets and waits before gunicorn waits for its threads. And what was imported
    stays: garbage collection need not look through it again, for a tenth of a second each time."""
    from web.live import fanout

    gc.collect()
    gc.freeze()

    gunicorns_own = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        fanout.close()
        if callable(gunicorns_own):
            gunicorns_own(number, frame)

    signal.signal(signal.SIGTERM, stop)


def worker_exit(server, worker) -> None:  # type: ignore[no-untyped-def]
    """Send the nudges and store the visits that still wait, and leave PostgreSQL in order."""
    from shared import cache, db
    from shared.messages import nudger
    from shared.visits.log import visit_log

    nudger.flush()
    for each in cache.CACHES:
        each.tell_hits()
    visit_log.close()
    db.close_pool()
