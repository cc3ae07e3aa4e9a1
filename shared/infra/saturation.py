"""How busy a process is: its connections to PostgreSQL, and how late its timers fire.

A thread measures it, and flushes deferred metrics.
"""

import threading
import time

from shared.infra import db
from shared.infra.metrics import Counter, Gauge, Histogram, flush

INTERVAL_SECONDS = 0.5

CONNECTIONS = Gauge(
    "waymark_database_pool_connections",
    "Connections to PostgreSQL in the pools, by state: used or idle.",
    ("state",),
    multiprocess_mode="livesum",
)
WAITS = Counter("waymark_database_pool_waits_total", "Requests of a connection that had to wait for one.")
WAIT_SECONDS = Counter("waymark_database_pool_wait_seconds_total", "Time that callers waited for a connection.")
ERRORS = Counter("waymark_database_pool_errors_total", "Requests of a connection that failed, as by a timeout.")


def start(timer_delay: Histogram | None = None) -> None:
    """Start the thread, after the fork. `timer_delay` gets the seconds by which each of its timers was late."""
    threading.Thread(target=_measure, args=(timer_delay,), name="saturation", daemon=True).start()


def _measure(timer_delay: Histogram | None) -> None:
    while True:
        due = time.monotonic() + INTERVAL_SECONDS
        time.sleep(INTERVAL_SECONDS)
        if timer_delay is not None:
            timer_delay.observe(max(0.0, time.monotonic() - due))
        record_pool()
        flush()


def record_pool() -> None:
    """Add the statistics of this process's pool since the last call to its metrics."""
    statistics = db.pop_pool_statistics()
    if statistics:
        idle = statistics["pool_available"]
        CONNECTIONS.labels("idle").set(idle)
        CONNECTIONS.labels("used").set(statistics["pool_size"] - idle)
        WAITS.inc(statistics.get("requests_queued", 0))
        WAIT_SECONDS.inc(statistics.get("requests_wait_ms", 0) / 1000)
        ERRORS.inc(statistics.get("requests_errors", 0))
