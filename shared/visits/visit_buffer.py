"""Visits on their way to PostgreSQL: kept in memory for a moment, so that nobody who is led on waits for a write.

A thread of its own stores what has come together, twice a second. A process that is stopped stores the rest before it
ends; one that is killed loses what came since the last round. While PostgreSQL is away they are kept, up to a bound.
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
import psycopg_pool

from shared.infra import db
from shared.infra.logging import get_logger
from shared.visits import store
from shared.visits.store import Visit
from shared.visits.user_agents import device_kind, is_crawler

log = get_logger()

FLUSH_SECONDS = 0.5
BATCH = 5_000
MOST = 50_000
"""Visits that are kept at once: some ten megabytes."""
CLOSE_TIMEOUT_SECONDS, PAUSE_SECONDS = 5.0, 0.2  # less than a process that is told to stop is given


@dataclass(frozen=True, slots=True)
class RawVisit:
    """A visit as it came: what its User-Agent means is found out later."""

    qr_code_id: UUID
    at: datetime
    user_agent: str | None
    is_ahead: bool
    used_stock: bool

    def visit(self) -> Visit:
        is_bot = self.is_ahead or is_crawler(self.user_agent)
        return Visit(self.qr_code_id, self.at, "bot" if is_bot else device_kind(self.user_agent), self.used_stock)


@dataclass(frozen=True)
class UncertainBatch:
    """The first visits that wait, as they were last stored: nobody knows yet whether that was committed."""

    xid: str
    count: int


class VisitBuffer:
    """What one process has yet to store."""

    def __init__(self) -> None:
        self._waiting: list[RawVisit] = []
        self._sent: UncertainBatch | None = None
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, opened: RawVisit) -> None:
        """Have the visit stored shortly; returns at once. Where too many wait it is dropped, with a line in the log."""
        with self._lock:
            has_room = len(self._waiting) < MOST
            if has_room:
                self._waiting.append(opened)
            if self._thread is None:  # made on first use: after the fork
                self._thread = threading.Thread(target=self._run, name="visits", daemon=True)
                self._thread.start()
        if not has_room:
            log.error("visit_dropped", qr_id=str(opened.qr_code_id), waiting=MOST)
        self._news.set()

    def flush(self) -> bool:
        """Store what waits, now and here; whether nothing is left."""
        with self._storing:
            while self._waiting:
                if not self._store():
                    return False
        return True

    def close(self) -> None:
        """Store the rest before the process ends, with some patience for a PostgreSQL that is away."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_SECONDS
        while not self.flush():
            if time.monotonic() > deadline:
                log.error("visits_lost", count=len(self._waiting))
                return
            time.sleep(PAUSE_SECONDS)

    def _store(self) -> bool:
        """Store a batch, once: where a connection broke at the commit, PostgreSQL is asked what became of it."""
        try:
            with db.connection() as conn:
                sent = self._sent
                if sent is None or not store.is_stored(conn, sent.xid):
                    self._sent, batch = None, self._waiting[:BATCH]
                    with conn.transaction():
                        xid = store.add(conn, [opened.visit() for opened in batch])
                        self._sent = sent = UncertainBatch(xid, len(batch))
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
            log.warning("visits_not_stored", count=len(self._waiting), error=str(error))
            return False
        with self._lock:
            del self._waiting[: sent.count]
        self._sent = None
        return True

    def _run(self) -> None:
        while True:
            self._news.wait()
            time.sleep(FLUSH_SECONDS)
            self._news.clear()
            try:
                if not self.flush():
                    self._news.set()
            except Exception:
                log.exception("visits_not_stored")
                self._news.set()


visit_buffer = VisitBuffer()
