"""A buffer of visits in memory, so that no redirect waits for a write.

A thread stores the buffered visits twice a second. A process that is stopped stores the rest. A process that is killed
loses the visits since the last flush. While PostgreSQL is unavailable, up to MAX_BUFFERED visits wait.
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
import psycopg_pool

from shared.infra import db
from shared.infra.event_loop import yielding
from shared.infra.logging import get_logger
from shared.infra.metrics import Counter, Gauge
from shared.visits import store
from shared.visits.store import Visit
from shared.visits.user_agents import device_kind, is_crawler

log = get_logger()

FLUSH_SECONDS = 0.5
BATCH = 5_000
MAX_BUFFERED = 50_000
"""About ten megabytes."""
# Less than the grace period of a process that stops.
CLOSE_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 0.2

BUFFERED = Gauge("waymark_visits_buffered", "Visits that are not stored yet.", multiprocess_mode="livesum")
DROPPED = Counter("waymark_visits_dropped_total", "Visits that were lost, because PostgreSQL was unavailable too long.")


@dataclass(frozen=True, slots=True)
class RawVisit:
    """A visit as requested. Its User-Agent is interpreted when it is stored."""

    qr_code_id: UUID
    at: datetime
    user_agent: str | None
    is_prefetch: bool
    used_stock: bool

    def visit(self) -> Visit:
        is_bot = self.is_prefetch or is_crawler(self.user_agent)
        return Visit(self.qr_code_id, self.at, "bot" if is_bot else device_kind(self.user_agent), self.used_stock)


@dataclass(frozen=True)
class UncertainBatch:
    """The first `count` buffered visits, stored by a transaction whose commit is not confirmed."""

    xid: str
    count: int


class VisitBuffer:
    """The visits that one process has not stored yet."""

    def __init__(self) -> None:
        self._waiting: list[RawVisit] = []
        self._uncertain: UncertainBatch | None = None
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._more_work = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, visit: RawVisit) -> None:
        """Buffer the visit and return at once. If the buffer is full, drop the visit and log `visit_dropped`."""
        with self._lock:
            has_room = len(self._waiting) < MAX_BUFFERED
            if has_room:
                self._waiting.append(visit)
                BUFFERED.inc()
            # Started at the first visit, after the fork.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="visits", daemon=True)
                self._thread.start()
        if not has_room:
            DROPPED.inc()
            log.error("visit_dropped", qr_id=str(visit.qr_code_id), waiting=MAX_BUFFERED)
        self._more_work.set()

    def flush(self) -> bool:
        """Store the buffered visits. Return True if none is left."""
        with self._storing:
            while self._waiting:
                if not self._store():
                    return False
        return True

    def close(self) -> None:
        """Store the rest before the process ends. Retry for up to five seconds while PostgreSQL is unavailable."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_SECONDS
        while not self.flush():
            if time.monotonic() > deadline:
                DROPPED.inc(len(self._waiting))
                log.error("visits_lost", count=len(self._waiting))
                return
            time.sleep(RETRY_SECONDS)

    def _store(self) -> bool:
        """Store one batch exactly once. After a connection that broke at the commit, ask PostgreSQL for the outcome."""
        try:
            with db.connection() as conn:
                sent = self._uncertain
                if sent is None or not store.is_stored(conn, sent.xid):
                    self._uncertain, batch = None, self._waiting[:BATCH]
                    visits = [visit.visit() for visit in yielding(batch)]
                    with conn.transaction():
                        xid = store.add(conn, visits)
                        self._uncertain = sent = UncertainBatch(xid, len(batch))
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
            log.warning("visits_not_stored", count=len(self._waiting), error=str(error))
            return False
        with self._lock:
            del self._waiting[: sent.count]
            BUFFERED.dec(sent.count)
        self._uncertain = None
        return True

    def _run(self) -> None:
        while True:
            self._more_work.wait()
            time.sleep(FLUSH_SECONDS)
            self._more_work.clear()
            try:
                if not self.flush():
                    self._more_work.set()
            except Exception:
                log.exception("visits_not_stored")
                self._more_work.set()


visit_buffer = VisitBuffer()
