"""Configuration of gunicorn: threads for flask-sock, timeouts for slow clients, and an orderly stop."""

import gc
import signal
import socket
from types import FrameType

from shared.settings import settings as read_settings
from web.server.gunicorn_worker import LimitedThreadWorker
from web.server.read_deadline import IDLE_TIMEOUT_SECONDS, DeadlineReader, timeval

_settings = read_settings()


class worker_class(LimitedThreadWorker):  # noqa: N801 - gunicorn's name for it
    """The worker with Waymark's settings."""

    concurrency = min(_settings.database_pool_size, _settings.web_threads)
    read_timeout_seconds = _settings.request_read_timeout_seconds
    min_bytes_per_second = _settings.request_min_bytes_per_second


bind = f"{_settings.host}:{_settings.port}"
threads = _settings.web_threads
worker_connections = 4 * _settings.web_threads + 1_000
timeout = 30
graceful_timeout = 8
keepalive = 30
limit_request_line = 8190  # a signed link or a cursor is far shorter
limit_request_fields = 100
limit_request_field_size = 8190
control_socket_disable = True
forwarded_allow_ips = ""  # TRUSTED_PROXIES decides, in one place
accesslog = None  # the application writes its own access log


def when_ready(server) -> None:  # type: ignore[no-untyped-def]
    """Set timeouts on the listening sockets, which accepted sockets inherit.

    A client that stops in the middle of a request, or does not read its response, would hold a thread otherwise. A
    WebSocket is not affected: it reads only when there is data.
    """
    limit = timeval(IDLE_TIMEOUT_SECONDS)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def pre_request(worker, req) -> None:  # type: ignore[no-untyped-def]
    """Mark that the head of the request is complete: everything read from now on is its body."""
    if isinstance(req.unreader, DeadlineReader):
        req.unreader.is_body = True


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def]
    """On SIGTERM, close WebSockets and verdict waiters before gunicorn waits for its threads.

    Imported modules are frozen: garbage collection would take a tenth of a second to scan them each time.
    """
    from web.realtime import fanout

    gc.collect()
    gc.freeze()

    gunicorn_handler = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        running = getattr(worker.wsgi, "extensions", {}).get(fanout.EXTENSION)
        if running is not None:
            running.close()
        if callable(gunicorn_handler):
            gunicorn_handler(number, frame)

    signal.signal(signal.SIGTERM, stop)


def worker_exit(server, worker) -> None:  # type: ignore[no-untyped-def]
    """Send queued messages, store buffered visits and cache lookups, and close the PostgreSQL pool."""
    from shared.infra import cache, db
    from shared.infra.message_sender import background_sender
    from shared.visits.visit_buffer import visit_buffer

    background_sender.flush()
    for entries in cache.CACHES:
        entries.report_hits()
    visit_buffer.close()
    db.close_pool()
