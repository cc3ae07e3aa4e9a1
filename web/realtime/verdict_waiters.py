"""Requests that wait for a verdict (`Prefer: wait`). Redis wakes them, and each process has a limit on their number."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from shared.infra.metrics import Counter, Gauge
from shared.scans.store import StoredScan

MAX_WAIT_SECONDS = 10.0
MAX_WAITERS = 2_000
"""Waiting requests of one process."""

IN_PROGRESS = Gauge(
    "waymark_verdict_waits_in_progress", "Requests that wait for a verdict now.", multiprocess_mode="livesum"
)
REFUSED = Counter(
    "waymark_verdict_waits_refused_total", "Requests that got 202 at once, because too many waited for a verdict."
)


class Waiter:
    """A request that waits for a scan's verdict."""

    def __init__(self, seconds: float) -> None:
        self.scan: StoredScan | None = None
        """The scan with its verdict, if the worker has sent it."""
        self.is_closed = False
        self._deadline = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)
        self._woken = threading.Event()

    def __call__(self) -> bool:
        """Wait until the scan may have a verdict. Return False when the time is up or the process is stopping."""
        if self.is_closed or not self._woken.wait(max(0.0, self._deadline - time.monotonic())):
            return False
        self._woken.clear()
        return not self.is_closed

    def wake(self) -> None:
        self._woken.set()


class VerdictWaiters:
    """The waiting requests of this process, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._waiters: dict[UUID, list[Waiter]] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(limit)
        self._is_closed = False

    @contextmanager
    def register(self, scan_id: UUID, seconds: float) -> Iterator[Waiter | None]:
        """Register a waiter for a scan's verdict, before the scan is inserted, so that no wake is missed.

        Yield None if the request does not wait: `seconds` is 0, or no slot is free, or the process is stopping.
        """
        if seconds <= 0 or self._is_closed:
            yield None
            return
        if not self._slots.acquire(blocking=False):
            REFUSED.inc()
            yield None
            return
        waiter = Waiter(seconds)
        with self._lock:
            self._waiters.setdefault(scan_id, []).append(waiter)
        try:
            with IN_PROGRESS.track_inprogress():
                yield waiter
        finally:
            with self._lock:
                self._waiters[scan_id].remove(waiter)
                if not self._waiters[scan_id]:
                    del self._waiters[scan_id]
            self._slots.release()

    def is_awaited(self, scan_id: UUID) -> bool:
        """Return whether a request waits for this scan."""
        return scan_id in self._waiters

    def deliver(self, settled: Iterable[tuple[UUID, StoredScan | None]]) -> None:
        """Pass these scans to the requests that wait for them. Those without content read their scan again."""
        for scan_id, scan in settled:
            with self._lock:
                for waiter in self._waiters.get(scan_id, ()):
                    waiter.scan = scan
                    waiter.wake()

    def wake(self, scan_ids: Iterable[UUID] | None = None) -> None:
        """Make the waiters of these scans read their scan again, or all waiters if messages may have been missed."""
        with self._lock:
            for scan_id in list(self._waiters) if scan_ids is None else scan_ids:
                for waiter in self._waiters.get(scan_id, ()):
                    waiter.wake()

    def close(self) -> None:
        """Stop all waiters, because the process is stopping."""
        self._is_closed = True
        with self._lock:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.is_closed = True
                    waiter.wake()


def preferred_wait(header: str | None, default: float) -> float:
    """Return the seconds of `wait=N` in a Prefer header (RFC 7240, 4.3), at most 10. Without it, return `default`."""
    for preference in (header or "").split(","):
        name, equals, value = preference.split(";")[0].partition("=")
        if name.strip().lower() == "wait" and equals:
            digits = value.strip().strip('"')
            if digits.isascii() and digits.isdigit():
                return min(float(digits[:6]), MAX_WAIT_SECONDS)
    return default
