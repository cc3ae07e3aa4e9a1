"""gunicorn: threads, so that flask-sock works; sockets and waiting requests are let go first when the process ends."""

import gc
import signal
import socket
from types import FrameType

from shared.settings import settings
from web.server.gunicorn_worker import LimitedThreadWorker
from web.server.read_deadline import IDLE_TIMEOUT_SECONDS, DeadlineReader, timeval

bind = f"{settings().host}:{settings().port}"
worker_class = LimitedThreadWorker
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
    limit = timeval(IDLE_TIMEOUT_SECONDS)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def pre_request(worker, req) -> None:  # type: ignore[no-untyped-def]
    if isinstance(req.unreader, DeadlineReader):
        req.unreader.is_body = True  # what is read from now on


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def]
    """On SIGTERM, close this process's sockets and waits before gunicorn waits for its threads. And what was imported
    stays: garbage collection need not look through it again, for a tenth of a second each time."""
    from web.realtime.websockets import fanout

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
    from shared.infra import cache, db
    from shared.infra.message_sender import background_sender
    from shared.visits.visit_buffer import visit_buffer

    background_sender.flush()
    for each in cache.CACHES:
        each.report_hits()
    visit_buffer.close()
    db.close_pool()
