"""The port for metrics of every process type except web: /metrics, /healthz and /readyz.

Relay, scheduler and catalog serve it from a thread. `metrics_exporter` serves it for the processes of a worker.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shared.infra import build_info, health, heartbeats, metrics, metrics_files, saturation
from shared.infra.local_cache import CachedResult
from shared.infra.logging import get_logger
from shared.infra.metrics import Collector
from shared.settings import settings

log = get_logger()

CACHE_SECONDS = 1.0
CLIENT_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 5.0

Answer = tuple[int, dict[str, Any] | bytes]
View = Callable[[dict[str, str]], Answer]


class MetricsServer(ThreadingHTTPServer):
    """Serves the three paths. `check_database` is the check of PostgreSQL by `/readyz`."""

    daemon_threads = True

    def __init__(
        self,
        host: str,
        port: int,
        *,
        check_database: health.Check = health.check_database,
        collectors: Iterable[Collector] = (),
    ) -> None:
        super().__init__((host, port), _Handler)
        self._metrics = CachedResult(lambda: metrics.render() + metrics.render_collectors(collectors), CACHE_SECONDS)
        self._database = CachedResult(check_database, CACHE_SECONDS)
        self._redis = CachedResult(health.check_redis, CACHE_SECONDS)
        self._broker = CachedResult(health.check_broker, CACHE_SECONDS)
        self._files = CachedResult(health.check_files, CACHE_SECONDS)
        self.views: dict[str, View] = {
            "/metrics": lambda _query: (200, self._metrics.get()),
            "/healthz": lambda _query: self._check_heartbeats(),
            "/readyz": self._check_dependencies,
        }

    @staticmethod
    def _check_heartbeats() -> Answer:
        if stale := heartbeats.stale_heartbeats():
            return _problem(503, f"Not running: {', '.join(stale)}.")
        return 200, {"status": "ok"}

    def _check_dependencies(self, query: dict[str, str]) -> Answer:
        try:
            only = health.dependency_names(query["only"]) if "only" in query else health.STORES
        except ValueError as error:
            return _problem(422, str(error))
        missing = health.unready_dependencies(
            only,
            database=self._database.get,
            redis=self._redis.get,
            broker=self._broker.get,
            files=self._files.get,
        )
        return _problem(503, f"Not ready: {', '.join(missing)}.") if missing else (200, {"status": "ok"})


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_SECONDS
    server: MetricsServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        view = self.server.views.get(url.path)
        status, content = view(query) if view else _problem(404, "This port has /metrics, /healthz and /readyz.")
        if isinstance(content, bytes):
            kind, body = metrics.CONTENT_TYPE, content
        else:
            kind = "application/json" if status == 200 else "application/problem+json"
            body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Log no line per probe."""

    def version_string(self) -> str:
        return "waymark"


def _problem(status: int, detail: str) -> Answer:
    return status, {"type": "about:blank", "status": status, "detail": detail}


def serve(check_database: health.Check = health.check_database, collectors: Iterable[Collector] = ()) -> None:
    """Serve METRICS_PORT until the process ends. While the port is in use, log a warning once, and try again."""
    host, port = settings().metrics_host, settings().metrics_port
    if port is None:
        return
    is_reported = False
    while True:
        try:
            server = MetricsServer(host, port, check_database=check_database, collectors=collectors)
        except OSError as error:
            if not is_reported:
                log.warning("metrics_port_unavailable", host=host, port=port, error=str(error))
            is_reported = True
            time.sleep(RETRY_SECONDS)
            continue
        server.serve_forever()


def start(process: str, collectors: Iterable[Collector] = ()) -> None:
    """Serve METRICS_PORT from a thread, if it is set. Call this before the first heartbeat of the process.

    `collectors` are further metrics, which are computed when they are read.
    """
    if settings().metrics_port is None:
        return
    metrics_files.create(process, os.getpid(), is_shared=False)
    build_info.record()
    saturation.start()
    threading.Thread(target=serve, kwargs={"collectors": collectors}, name="metrics", daemon=True).start()
