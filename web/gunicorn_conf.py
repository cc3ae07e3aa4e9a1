"""Configuration of gunicorn: its gevent worker, and an orderly stop.

The master process loads this file before it forks, and the worker patches the standard library after that. So this
file imports nothing that must be patched.
"""

import gc
import os
import resource
import socket

from shared.infra import metrics_files
from shared.settings import settings as read_settings

_settings = read_settings()
WORKER_GRACE_SECONDS = 5
"""How long a stopping worker waits for open requests, up to 3 seconds more because gunicorn looks once a second."""
UNREAD_TIMEOUT_SECONDS = 30
"""How long a client may acknowledge nothing of what was sent to it."""

bind = f"{_settings.host}:{_settings.port}"
worker_class = "web.gunicorn_worker.Worker"
worker_connections = _settings.max_websockets + 2_000
timeout = 30
# After this time the master kills its workers. They must have stored buffered visits before.
graceful_timeout = 9 + _settings.shutdown_notice_seconds
# Load balancers close idle connections after 60 to 90 seconds, and must do so first: otherwise they send a request on a
# connection that is just being closed.
keepalive = 95
limit_request_line = 8190  # a signed link or a cursor is far shorter
limit_request_fields = 100
limit_request_field_size = 8190
control_socket_disable = True
forwarded_allow_ips = ""  # TRUSTED_PROXIES decides, in one place
accesslog = None  # the application writes its own access log


def on_starting(server) -> None:  # type: ignore[no-untyped-def]
    """Create the directory in which the workers store their metrics. They inherit its path."""
    metrics_files.create("web", os.getpid(), is_shared=True)


def on_exit(server) -> None:  # type: ignore[no-untyped-def]
    metrics_files.remove()


def child_exit(server, worker) -> None:  # type: ignore[no-untyped-def]
    metrics_files.remove_live_gauges(worker.pid)


def when_ready(server) -> None:  # type: ignore[no-untyped-def]
    """Disconnect clients that read nothing, and allow a file descriptor for each connection.

    Accepted sockets inherit the option. Linux also counts the time in which the client's buffer is full (tcp(7)).
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        for listener in server.LISTENERS:
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1_000 * UNREAD_TIMEOUT_SECONDS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections + 1_000
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def]
    """Wrap the application in deadlines and the queue of password hashing, limit the wait, and measure the process.

    Imported modules are frozen: garbage collection would take a tenth of a second to scan them each time.
    """
    from shared.infra import saturation
    from shared.infra.tracing import tracing
    from web.middleware import TIMER_DELAY, PasswordQueue, RequestDeadline

    worker.wsgi = RequestDeadline(
        PasswordQueue(worker.wsgi, _settings.password_hash_concurrency),
        _settings.request_read_timeout_seconds,
        _settings.request_min_bytes_per_second,
    )
    worker.cfg.set("graceful_timeout", WORKER_GRACE_SECONDS)
    saturation.start(TIMER_DELAY)
    tracing.start("web")
    gc.collect()
    gc.freeze()


def worker_exit(server, worker) -> None:  # type: ignore[no-untyped-def]
    """Store buffered visits, cache lookups and metrics, send queued messages, and close the PostgreSQL pools.

    Messages are last: the scheduler sends lost ones again, and an unavailable broker takes seconds.
    """
    from shared.infra import cache, db, error_reporting, metrics, read_replica
    from shared.infra.message_sender import background_sender
    from shared.infra.tracing import tracing
    from shared.visits.visit_buffer import visit_buffer

    visit_buffer.close()
    for entries in cache.CACHES:
        entries.report_hits()
    background_sender.flush()
    metrics.flush()
    read_replica.close()
    db.close_pool()
    tracing.stop()
    error_reporting.flush()
