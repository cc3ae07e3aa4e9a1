"""A cache in Redis. The name of an entry contains everything that it depends on, so an entry is never out of date.

Memory is bounded: each key has a time to live, each entry a maximum size, and all entries together a maximum size.
Concurrent misses create an entry once. Without Redis a process uses its own memory for images, and creates the rest
each time: slower, but never wrong.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.infra.local_cache import LocalCache
from shared.infra.logging import get_logger
from shared.infra.metrics import Counter
from shared.infra.redis import key, make_client
from shared.settings import settings

log = get_logger()

Result = Literal["hit", "miss"]
RESULTS: tuple[Result, ...] = ("hit", "miss")
SOCKET_TIMEOUT_SECONDS = 0.5
"""A slower cache costs more than it saves."""
BREAKER_OPEN_SECONDS = 1.0
"""After a failure Redis is not called for this time, so that not every request waits for its timeout."""
LOCK_SECONDS = 5.0
"""When the lock of a killed process expires. Other callers stop waiting earlier."""
SHORT_LIVED_TTL_SECONDS = 5
MAKER_WAIT_SECONDS = 2.0
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.002, 0.05
ENTRY_OVERHEAD_BYTES = 400
"""The memory of an entry in Redis besides its bytes: two key names, their table slots and the member of the index."""
COUNTS_TTL_SECONDS = 30 * 24 * 3600
LOCAL_CACHE_BYTES = 8 * 2**20
"""For images, in each process: about ten thousand of the usual size."""
REPORT_HITS_SECONDS = 1.0
PROCESS = uuid4().hex
_sequence = itertools.count()

REQUESTS = Counter(
    "waymark_cache_requests_total",
    "Cache lookups of this process, by result: local (in its memory), hit, miss, or unavailable.",
    ("cache", "result"),
)

LookupCount = tuple[str, Result]
"""The name of a cache, and the result of a lookup."""


class ShortLived(bytes):
    """An entry that is stored for 5 seconds only, so that concurrent callers still create it once."""


@dataclass(frozen=True)
class Cache:
    """The entries of one kind."""

    name: str
    ttl_seconds: int
    local: LocalCache = field(default_factory=lambda: LocalCache(0))

    def get_or_create(self, name: str, make: Callable[[], bytes], owner: UUID) -> bytes:
        """Return the entry, or create and store it. It is not stored if it is too large.

        Concurrent callers wait up to two seconds for the one that creates it, then call `make` themselves. `owner` is
        the organization whose lookups are counted.
        """
        local = self.local.get(name, owner)
        if local is not None:
            REQUESTS.labels(self.name, "local").inc()
            self.report_hits(REPORT_HITS_SECONDS)
            return local
        entry = self._get_or_create(name, make, owner)
        self.local.put(name, entry)
        return entry

    def report_hits(self, after_seconds: float = 0) -> None:
        """Add the hits in this process's memory to the counts in Redis, if the last report is `after_seconds` old.

        Without Redis they are lost.
        """
        hits = self.local.take_hits(after_seconds)
        if not hits:
            return

        def add(client: "redis.Redis") -> bool:
            with client.pipeline() as pipeline:
                for counts, number in (
                    (key(*LOOKUP_COUNTS_KEY), hits.total()),
                    *((key(*LOOKUP_COUNTS_KEY, owner), number) for owner, number in hits.items()),
                ):
                    pipeline.hincrby(counts, f"{self.name}:hit", number)
                    pipeline.expire(counts, COUNTS_TTL_SECONDS)
                pipeline.execute()
            return True

        try_redis(add)

    def _get_or_create(self, name: str, make: Callable[[], bytes], owner: UUID) -> bytes:
        entry = _Entry(self, name)
        result = entry.get_or_lock(owner)
        if isinstance(result, bytes):
            REQUESTS.labels(self.name, "hit").inc()
            return result
        REQUESTS.labels(self.name, "unavailable" if result == "unavailable" else "miss").inc()
        if result == "busy":
            awaited = entry.wait()
            return make() if awaited is None else awaited
        if result == "unavailable":
            return make()
        try:
            content = make()
        except BaseException:
            entry.unlock()
            raise
        entry.put(content)
        return content


class _Entry:
    """One entry in Redis, and the lock of the process that creates it."""

    def __init__(self, of: Cache, name: str) -> None:
        self._cache = of
        self._key = key("cache", of.name, name)
        self._lock = key("cache", "lock", of.name, name)
        self._token = f"{PROCESS}:{os.getpid()}:{next(_sequence)}"

    def get_or_lock(self, owner: UUID) -> bytes | Literal["locked", "busy", "unavailable"]:
        """Return the entry, or "locked" if this caller must create it, or "busy" if another one creates it.

        Return "unavailable" without Redis.
        """
        keys = (self._key, self._lock, key(*LOOKUP_COUNTS_KEY), key(*LOOKUP_COUNTS_KEY, owner))
        arguments = (self._token, int(LOCK_SECONDS * 1000), self._cache.name, COUNTS_TTL_SECONDS)
        result = _query(lambda client: _scripts()[0](keys, arguments, client))
        if isinstance(result, bytes):
            return result
        return "unavailable" if result is None else "locked" if result else "busy"

    def wait(self) -> bytes | None:
        """Return the entry once it is stored. None if creating it failed or takes more than two seconds."""
        deadline, pause = time.monotonic() + MAKER_WAIT_SECONDS, MIN_POLL_SECONDS
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_SECONDS)
            values = _query(lambda client: client.mget(self._key, self._lock))
            entry: bytes | None = values[0] if values else None
            if entry is not None or values is None or values[1] is None:
                return entry
        return None

    def put(self, content: bytes) -> None:
        """Store the entry and release the lock."""
        if len(content) > settings().cache_max_entry_kb * 1024:
            self.unlock()
            return
        keys = (self._key, self._lock, key("cache", "index"), key("cache", "size"))
        capacity = settings().cache_max_mb * 2**20
        ttl_seconds = SHORT_LIVED_TTL_SECONDS if isinstance(content, ShortLived) else self._cache.ttl_seconds
        arguments = (self._token, content, ttl_seconds, capacity, ENTRY_OVERHEAD_BYTES, MAX_TTL_SECONDS)
        _query(lambda client: _scripts()[1](keys, arguments, client))

    def unlock(self) -> None:
        """Release the lock, so that waiting callers create the entry themselves.

        The lock may belong to another caller if this one's has expired, which is harmless.
        """
        _query(lambda client: client.delete(self._lock))


images = Cache("images", 24 * 3600, LocalCache(LOCAL_CACHE_BYTES))
statistics = Cache("statistics", 3600)
CACHES = (images, statistics)
MAX_TTL_SECONDS = max(entries.ttl_seconds for entries in CACHES)
LOOKUP_COUNTS_KEY = ("cache", "lookups")


def lookup_counts(owner: UUID | None = None) -> dict[LookupCount, int] | None:
    """Return how many lookups all processes made, by cache and result: all, or those of one organization.

    Counts restart when Redis loses its data. Return None without Redis.
    """
    for entries in CACHES:
        entries.report_hits()
    name = key(*LOOKUP_COUNTS_KEY) if owner is None else key(*LOOKUP_COUNTS_KEY, owner)
    counts = _query(lambda client: client.hgetall(name))
    if counts is None:
        return None
    fields = {(entries.name, result): f"{entries.name}:{result}".encode() for entries in CACHES for result in RESULTS}
    return {lookup: int(counts.get(field, 0)) for lookup, field in fields.items()}


class _Breaker:
    """A circuit breaker: the time until which this process does not call Redis."""

    def __init__(self) -> None:
        self.open_until = 0.0
        self.lock = threading.Lock()


_breaker = _Breaker()


def _query(call: Callable[["redis.Redis"], Any]) -> Any:
    if time.monotonic() < _breaker.open_until:
        return None
    try:
        return call(_client())
    except redis.RedisError as error:
        with _breaker.lock:
            is_first = time.monotonic() >= _breaker.open_until
            _breaker.open_until = time.monotonic() + BREAKER_OPEN_SECONDS
        if is_first:
            log.warning("cache_unavailable", error=str(error))
        return None


def try_redis(call: Callable[["redis.Redis"], Any]) -> Any:
    """Return the result of a call with short timeouts, for caches of another kind. None if Redis is unavailable."""
    return _query(call)


@cache
def _client() -> "redis.Redis":
    # A client with short timeouts. A connection that was closed meanwhile is replaced once, without a pause.
    return make_client(
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


@cache
def _scripts() -> tuple[Any, Any]:
    folder = Path(__file__).parent
    get_or_lock, put = ((folder / f"cache_{name}.lua").read_bytes() for name in ("get_or_lock", "put"))
    return _client().register_script(get_or_lock), _client().register_script(put)
