"""Holding a request for its scan's verdict: woken through Redis, bounded, never all of a process's threads."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from shared.settings import settings

MAX_WAIT_SECONDS = 10.0


class Waits:
    """Who waits for which scan in this process."""

    def __init__(self) -> None:
        self._events: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(settings().max_waits)
        self._closed = False

    @contextmanager
    def place(self, scan_id: UUID, seconds: float) -> "Iterator[Callable[[], bool] | None]":
        """Stand in line for a scan's verdict, before the scan is inserted so that no wake is missed.

        Gives a function that waits for the next wake, False once the time is over; or None where nothing is to be
        waited for: no time was asked, or this process holds as many waiting requests as it may.
        """
        if seconds <= 0 or self._closed or not self._places.acquire(blocking=False):
            yield None
            return
        name, news = str(scan_id), threading.Event()
        deadline = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)

        def wait() -> bool:
            if self._closed or not news.wait(max(0.0, deadline - time.monotonic())):
                return False
            news.clear()
            return True

        with self._lock:
            self._events.setdefault(name, []).append(news)
        try:
            yield wait
        finally:
            with self._lock:
                self._events[name].remove(news)
                if not self._events[name]:
                    del self._events[name]
            self._places.release()

    def wake(self, scan_ids: Iterable[str] | None = None) -> None:
        """Have the waiting requests look again: those of these scans, or all when news may have been missed."""
        with self._lock:
            for scan_id in list(self._events) if scan_ids is None else scan_ids:
                for news in self._events.get(scan_id, ()):
                    news.set()

    def close(self) -> None:
        """The process is about to end: answer everyone with what there is."""
        self._closed = True
        self.wake()


def preferred_wait(header: str | None, default: float) -> float:
    """Seconds from a Prefer header (RFC 7240, 4.3): `wait=N`, at most ten; the default where it states none."""
    for preference in (header or "").split(","):
        name, equals, value = preference.split(";")[0].partition("=")
        if name.strip().lower() == "wait" and equals:
            digits = value.strip().strip('"')
            if digits.isascii() and digits.isdigit():
                return min(float(digits[:6]), MAX_WAIT_SECONDS)
    return default
