"""What a process keeps of a cache in its own memory, so that not every look is a question to Redis."""

import threading
import time
from collections import Counter, OrderedDict
from uuid import UUID


class LocalCache:
    """The entries that this process used last, in its own memory: Redis is not asked for them. Safe because an entry's
    name holds everything it depends on. Looks that end here are told to Redis later, many at once."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity  # bytes of all entries
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._hits: Counter[UUID] = Counter()
        self._told = time.monotonic()
        self._lock = threading.Lock()

    def get(self, name: str, owner: UUID) -> bytes | None:
        with self._lock:
            found = self._entries.get(name)
            if found is not None:
                self._entries.move_to_end(name)
                self._hits[owner] += 1
            return found

    def put(self, name: str, entry: bytes) -> None:
        """Keep an entry, unless it would take a good part of the room; the ones unused for longest go."""
        if len(entry) > self._capacity // 16:
            return
        with self._lock:
            self._bytes += len(entry) - len(self._entries.pop(name, b""))
            self._entries[name] = entry
            while self._bytes > self._capacity:
                self._bytes -= len(self._entries.popitem(last=False)[1])

    def take_hits(self, after_seconds: float) -> Counter[UUID]:
        """By owner, the looks that ended here; nothing if the last were taken less than so long ago."""
        with self._lock:
            if not self._hits or time.monotonic() < self._told + after_seconds:
                return Counter()
            hits, self._hits, self._told = self._hits, Counter(), time.monotonic()
            return hits

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._hits.clear()
            self._bytes = 0
