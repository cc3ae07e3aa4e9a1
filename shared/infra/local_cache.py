"""Caches in the memory of one process."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")
STALE_SECONDS = 10.0
"""While a thread computes a `CachedResult`, other threads get one that expired less than this long ago."""


class CachedResult(Generic[T]):
    """The result of a function that all threads share for `seconds`. Only one thread at a time computes it."""

    def __init__(self, compute: Callable[[], T], seconds: float) -> None:
        self._compute, self._seconds = compute, seconds
        self._cached: tuple[T, float] | None = None
        self._lock = threading.Lock()

    def get(self) -> T:
        """Return the cached result. Compute it if there is none or it has expired."""
        cached = self._cached
        if cached is not None and time.monotonic() < cached[1] + STALE_SECONDS:
            if time.monotonic() < cached[1] or not self._lock.acquire(blocking=False):
                return cached[0]
        else:
            self._lock.acquire()
        try:
            # Another thread may have computed it while this one waited.
            if self._cached is None or self._cached is cached:
                self._cached = self._compute(), time.monotonic() + self._seconds
            return self._cached[0]
        finally:
            self._lock.release()

    def clear(self) -> None:
        self._cached = None


class LocalCache:
    """The entries that this process used last, up to `capacity` bytes, so that Redis is not needed for them.

    This is safe because the name of an entry contains everything that it depends on. Hits are counted, and reported to
    Redis in batches.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._hits: Counter[UUID] = Counter()
        self._taken_at = time.monotonic()
        self._lock = threading.Lock()

    def get(self, name: str, owner: UUID) -> bytes | None:
        """Return the entry or None, and count a hit of the owner."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None:
                self._entries.move_to_end(name)
                self._hits[owner] += 1
            return entry

    def put(self, name: str, entry: bytes) -> None:
        """Store an entry of up to a sixteenth of the capacity. The least recently used ones are removed."""
        if len(entry) > self._capacity // 16:
            return
        with self._lock:
            self._bytes += len(entry) - len(self._entries.pop(name, b""))
            self._entries[name] = entry
            while self._bytes > self._capacity:
                self._bytes -= len(self._entries.popitem(last=False)[1])

    def take_hits(self, after_seconds: float) -> Counter[UUID]:
        """Return and reset the hits by owner, or nothing if they were taken less than `after_seconds` ago."""
        with self._lock:
            if not self._hits or time.monotonic() < self._taken_at + after_seconds:
                return Counter()
            hits, self._hits, self._taken_at = self._hits, Counter(), time.monotonic()
            return hits

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._hits.clear()
            self._bytes = 0
