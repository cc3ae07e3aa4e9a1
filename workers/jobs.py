"""The one loop of all work on leased rows: claim new rows, work, then retry expired ones, then dead-letter.

A new kind of job is a leased table, a message, and a function that works on claimed rows.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Generic
from uuid import UUID, uuid4

import psycopg

from shared.infra import db, fair_claims, leases
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable, LeaseLost, T
from shared.infra.logging import get_logger
from shared.infra.message_sender import background_sender
from shared.messages import Message
from workers.broker import worker_lifecycle
from workers.time_limits import time_limits

log = get_logger()
Work = Callable[[UUID, list[T]], None]
"""Works on rows that are leased under a token, and settles them in a transaction that starts with `lock_held`. Raises
LeaseLost if they are in other hands. An OperationalError releases the lease; any other exception fails it."""

MAX_RUN_SECONDS = 2.0
"""Then other messages of this worker process are handled."""
RETRY_EVERY = 10
"""A backlog of new rows does not hide the expired ones."""


class JobRunner(Generic[T]):
    """Works on the pending rows of one table. `work` gets up to `batch_size` new rows, or one row that is retried. It
    gets the rows of a fair table one by one, and those of each organization in turn.

    At most `concurrency` threads of a process work on this table. `time_limit` is for one batch; a heartbeat of the
    work starts it anew.
    """

    def __init__(
        self,
        table: LeasedTable[T],
        message: Message,
        work: Work[T],
        dead_letter: Work[T],
        *,
        lease: Callable[[], timedelta],
        batch_size: int = 1,
        concurrency: int = 1_000,
        time_limit: timedelta = timedelta(minutes=1),
    ) -> None:
        self.table, self.message, self.batch_size = table, message, batch_size
        self._work, self._dead_letter, self._lease, self.time_limit = work, dead_letter, lease, time_limit
        self._slots = threading.BoundedSemaphore(concurrency)
        self._more_work = threading.Event()

    def run_pending(self, *, retry: bool = True) -> None:
        """Work until no row can be claimed, or MAX_RUN_SECONDS are over. Safe to run twice and side by side.

        If all slots are taken, return at once: a thread that holds one looks for rows once more before it stops.
        Without `retry`, do not look for expired rows.
        """
        self._more_work.set()
        while self._more_work.is_set() and self._slots.acquire(blocking=False):
            try:
                self._more_work.clear()
                if not self._run_until_idle(retry):
                    return
            finally:
                self._slots.release()

    def _run_until_idle(self, retry: bool) -> bool:
        """Return True when no row can be claimed, and False when the process stops or the time is up."""
        run_until = time.monotonic() + MAX_RUN_SECONDS
        for batch in count():
            claimed = self.run_new()
            is_idle = claimed < self.batch_size
            if retry and (is_idle or batch % RETRY_EVERY == 0):
                retried = self.run_expired()
                is_idle = is_idle and not retried
            if worker_lifecycle.stopping.is_set():
                return False
            if is_idle:
                return True
            if time.monotonic() > run_until:
                background_sender.submit(self.message)
                return False
        raise AssertionError

    def run_new(self) -> int:
        """Work on up to a batch of new rows, or on the next row of a fair table. Return how many were claimed."""
        if self.table.is_fair:
            return self._run(
                lambda conn, token: fair_claims.claim_next(conn, self.table, token, self._lease()), self._work
            )
        return self._run(
            lambda conn, token: leases.claim_new(conn, self.table, token, self._lease(), limit=self.batch_size),
            self._work,
        )

    def run_expired(self) -> int:
        """Retry one expired row alone, or dead-letter rows without attempts left. Return how many were claimed.

        The expired rows of a fair table are retried in their turn, by `run_new`.
        """
        with db.connection() as conn:
            if not leases.has_expired(conn, self.table):
                return 0
        return (
            not self.table.is_fair
            and self._run(lambda conn, token: leases.claim_retry(conn, self.table, token, self._lease()), self._work)
        ) or self._run(
            lambda conn, token: leases.claim_exhausted(conn, self.table, token, self._lease(), limit=self.batch_size),
            self._dead_letter,
        )

    def heartbeat(self, token: UUID, row_id: UUID) -> T:
        """Renew the lease of a row and its time limit. Return the row as it is now. Raise LeaseLost if it is lost."""
        with db.connection() as conn:
            row = leases.renew_lease(conn, self.table, token, row_id, self._lease())
        time_limits.extend()
        return row

    def _run(self, claim: Callable[[Conn, UUID], list[T]], work: Work[T]) -> int:
        token = uuid4()
        with db.connection() as conn:
            rows = claim(conn, token)
        if not rows:
            return 0
        if len(rows) == self.batch_size:
            # More rows may be pending: wake another thread, here or in another process.
            background_sender.submit(self.message)
        batch = {"table": self.table.name, "rows": len(rows), "first_id": str(rows[0].id)}
        try:
            with time_limits.limit(self.time_limit.total_seconds()):
                work(token, rows)
        except LeaseLost:
            log.info("lease_lost", **batch)
        except psycopg.OperationalError as error:
            # PostgreSQL is unavailable, or a lock timed out: not the rows' fault.
            log.warning("lease_released", **batch, error=str(error))
            with db.connection() as conn:
                leases.release_lease(conn, self.table, token)
            raise
        except Exception as error:
            log.exception("attempt_failed", **batch)
            with db.connection() as conn:
                ids = [row.id for row in rows]
                leases.fail_lease(conn, self.table, token, ids, f"{type(error).__name__}: {error}")
            background_sender.submit(self.message)
        return len(rows)
