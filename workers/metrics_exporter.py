"""The process that serves METRICS_PORT for all processes of a worker. Dramatiq starts it beside them."""

import os
import threading
import time

from workers import metrics_directory  # isort: skip  # noqa: F401 - before any metric is created
from shared.infra import db, health
from shared.infra.logging import configure
from workers import metrics_server

PARENT_CHECK_SECONDS = 1.0


def serve() -> None:
    """Serve until the parent process ends."""
    configure("worker")
    threading.Thread(target=metrics_server.serve, args=(check_database,), name="metrics", daemon=True).start()
    parent = os.getppid()
    # Dramatiq ends this process, but not if Dramatiq itself is killed. The port would stay in use.
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)


def check_database() -> dict[str, bool]:
    """Check PostgreSQL, and close the connections: this process needs them only for `/readyz`."""
    try:
        return health.check_database()
    finally:
        db.close_pool()
