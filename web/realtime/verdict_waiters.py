"""Holding a request for its scan's verdict: woken through Redis, bounded, never all of a process's threads."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from shared.infra.concurrency import release_permit
from shared.scans.store import StoredScan
from shared.settings import settings

MAX_WAIT_SECONDS = 10.0


class Waiter:
    """A request that stands in line for a scan's verdict. Called, it waits for the next wake: False once the time is
    over."""

    def __init__(self, seconds: float) -> None:
        self.found: StoredScan | None = None
        """The scan with its verdict, where whoever woke this request has read it already."""
        self.is_closed = False
        self._deadline = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)
        self._news = threading.Event()

    def __call__(self) -> bool:
        release_permit()
        if self.is_closed or not self._news.wait(max(0.0, self._deadline - time.monotonic())):
            return False
        self._news.clear()
        return not self.is_closed

    def wake(self) -> None:
        self._news.set()


class VerdictWaiters:
    """Who waits for which scan in this process."""

    def __init__(self) -> None:
        self._waits: dict[UUID, list[Waiter]] = {}
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(settings().verdict_wait_limit)
        self._closed = False

    @contextmanager
    def register(self, scan_id: UUID, seconds: float) -> Iterator[Waiter | None]:
        """Stand in line for a scan's verdict, before the scan is inserted so that no wake is missed.

        Gives None where nothing is to be waited for: no time was asked, or this process holds as many waiting requests
        as it may.
        """
        if seconds <= 0 or self._closed or not self._places.acquire(blocking=False):
            yield None
            return
        wait = Waiter(seconds)
        with self._lock:
            self._waits.setdefault(scan_id, []).append(wait)
        try:
            yield wait
        finally:
            with self._lock:
                self._waits[scan_id].remove(wait)
                if not self._waits[scan_id]:
                    del self._waits[scan_id]
            self._places.release()

    def filter_awaited(self, scan_ids: Iterable[UUID]) -> list[UUID]:
        """Those of these scans that somebody waits for."""
        with self._lock:
            return [scan_id for scan_id in scan_ids if scan_id in self._waits]

    def deliver(self, settled: Iterable[StoredScan]) -> None:
        """Hand these verdicts to the requests that wait for them."""
        with self._lock:
            for scan in settled:
                for wait in self._waits.get(scan.scan_id, ()):
                    wait.found = scan
                    wait.wake()

    def wake(self, scan_ids: Iterable[UUID] | None = None) -> None:
        """Have the waiting requests look again: those of these scans, or all when news may have been missed."""
        with self._lock:
            for scan_id in list(self._waits) if scan_ids is None else scan_ids:
                for wait in self._waits.get(scan_id, ()):
                    wait.wake()

    def close(self) -> None:
        """The process is about to end: answer everyone with what there is."""
        self._closed = True
        with self._lock:
            for waits in self._waits.values():
                for wait in waits:
                    wait.is_closed = True
                    wait.wake()


def preferred_wait(header: str | None, default: float) -> float:
    """Seconds from a Prefer header (RFC 7240, 4.3): `wait=N`, at most ten; the default where it states none."""
    for preference in (header or "").split(","):
        name, equals, value = preference.split(";")[0].partition("=")
        if name.strip().lower() == "wait" and equals:
            digits = value.strip().strip('"')
            if digits.isascii() and digits.isdigit():
                return min(float(digits[:6]), MAX_WAIT_SECONDS)
    return default
