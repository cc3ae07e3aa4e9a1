"""Cache in Redis: entries are named by what determines them, so that none is ever out of date.

Memory is bounded: every key has a life, an entry a size, all entries together a size. A hundred simultaneous misses
make an entry once. With Redis away a process has its own memory of pictures, and makes the rest anew: slower, never
wrong.
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
from shared.infra.redis import key, make_client
from shared.settings import settings

log = get_logger()

Result = Literal["hit", "miss"]
RESULTS: tuple[Result, ...] = ("hit", "miss")
SOCKET_TIMEOUT_SECONDS = 0.5
"""A cache that takes longer is no help."""
REST_SECONDS = 1.0
"""After a failure Redis is left alone this long, so that not every request waits for it in vain."""
LOCK_SECONDS = 5.0
"""The longest that a maker that was killed holds others back; they give up waiting earlier."""
SHORT_LIVED_TTL_SECONDS = 5
MAKER_WAIT_SECONDS = 2.0
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.002, 0.05
ENTRY_OVERHEAD_BYTES = 400
"""What Redis needs for an entry besides its bytes: two keys' names, their table slots and the index's member."""
COUNTS_SECONDS = 30 * 24 * 3600
LOCAL_CACHE_BYTES = 8 * 2**20
"""Of pictures in each process: some ten thousand of the usual size."""
REPORT_HITS_SECONDS = 1.0
PROCESS = uuid4().hex
_turns = itertools.count()

LookupCount = tuple[str, Result]
"""A cache's name, and what came of looking into it."""


class ShortLived(bytes):
    """An entry that will soon be better: kept for seconds, so that a hundred who ask still make it once."""


@dataclass(frozen=True)
class Cache:
    """Entries of one kind."""

    name: str
    ttl_seconds: int
    local: LocalCache = field(default_factory=lambda: LocalCache(0))

    def get_or_create(self, name: str, make: Callable[[], bytes], owner: UUID) -> bytes:
        """The entry of this name, else what `make` returns, kept for `seconds` unless it is too large, or Brief.

        The name holds everything that the entry depends on. `owner` is the organization that the look is counted for.
        While somebody else makes the entry, waits for it: two seconds at most, then it is made here as well.
        """
        near = self.local.get(name, owner)
        if near is not None:
            self.report_hits(REPORT_HITS_SECONDS)
            return near
        entry = self._get_or_make(name, make, owner)
        self.local.put(name, entry)
        return entry

    def report_hits(self, after_seconds: float = 0) -> None:
        """Count in Redis the looks that ended in this process's memory, if any have waited so long. With Redis away
        they are not counted."""
        hits = self.local.take_hits(after_seconds)
        if not hits:
            return

        def tell(client: "redis.Redis") -> bool:
            with client.pipeline() as pipeline:
                for counted, number in (
                    (key(*LOOKUP_COUNTS_KEY), hits.total()),
                    *((key(*LOOKUP_COUNTS_KEY, o), n) for o, n in hits.items()),
                ):
                    pipeline.hincrby(counted, f"{self.name}:hit", number)
                    pipeline.expire(counted, COUNTS_SECONDS)
                pipeline.execute()
            return True

        try_redis(tell)

    def _get_or_make(self, name: str, make: Callable[[], bytes], owner: UUID) -> bytes:
        entry = _Entry(self, name)
        found = entry.get_or_lock(owner)
        if isinstance(found, bytes):
            return found
        if found == "theirs":
            awaited = entry.wait()
            return make() if awaited is None else awaited
        if found == "away":
            return make()
        try:
            made = make()
        except BaseException:
            entry.unlock()
            raise
        entry.keep(made)
        return made


class _Entry:
    """One entry in Redis, and the lock of who makes it."""

    def __init__(self, of: Cache, name: str) -> None:
        self._cache = of
        self._key = key("cache", of.name, name)
        self._lock = key("cache", "lock", of.name, name)
        self._token = f"{PROCESS}:{os.getpid()}:{next(_turns)}"

    def get_or_lock(self, owner: UUID) -> bytes | Literal["ours", "theirs", "away"]:
        """The entry; or "ours" to make, "theirs" who make it already, or Redis is "away"."""
        keys = (self._key, self._lock, key(*LOOKUP_COUNTS_KEY), key(*LOOKUP_COUNTS_KEY, owner))
        arguments = (self._token, int(LOCK_SECONDS * 1000), self._cache.name, COUNTS_SECONDS)
        found = _ask(lambda client: _scripts()[0](keys, arguments, client))
        if isinstance(found, bytes):
            return found
        return "away" if found is None else "ours" if found else "theirs"

    def wait(self) -> bytes | None:
        """The entry once its maker has kept it. None: the maker failed, or takes too long."""
        deadline, pause = time.monotonic() + MAKER_WAIT_SECONDS, MIN_POLL_SECONDS
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_SECONDS)
            answer = _ask(lambda client: client.mget(self._key, self._lock))
            found: bytes | None = answer[0] if answer else None
            if found is not None or answer is None or answer[1] is None:
                return found
        return None

    def keep(self, made: bytes) -> None:
        """Store what was made, and let those who wait have it."""
        if len(made) > settings().cache_max_entry_kb * 1024:
            self.unlock()
            return
        keys = (self._key, self._lock, key("cache", "index"), key("cache", "size"))
        capacity = settings().cache_max_mb * 2**20
        seconds = SHORT_LIVED_TTL_SECONDS if isinstance(made, ShortLived) else self._cache.ttl_seconds
        lives = (seconds, capacity, ENTRY_OVERHEAD_BYTES, MAX_TTL_SECONDS)
        _ask(lambda client: _scripts()[1](keys, (self._token, made, *lives), client))

    def unlock(self) -> None:
        """Have those who wait make it themselves. Where the lock ran out meanwhile it may be another's: harmless."""
        _ask(lambda client: client.delete(self._lock))


images = Cache("images", 24 * 3600, LocalCache(LOCAL_CACHE_BYTES))
statistics = Cache("statistics", 3600)
CACHES = (images, statistics)
MAX_TTL_SECONDS = max(each.ttl_seconds for each in CACHES)
LOOKUP_COUNTS_KEY = ("cache", "lookups")


def lookup_counts(owner: UUID | None = None) -> dict[LookupCount, int] | None:
    """How often each cache was looked into, by all processes or for one organization. None with Redis away.

    Since it was first looked into, or Redis lost its memory.
    """
    for each in CACHES:
        each.report_hits()
    found = _ask(
        lambda client: client.hgetall(key(*LOOKUP_COUNTS_KEY) if owner is None else key(*LOOKUP_COUNTS_KEY, owner))
    )
    if found is None:
        return None
    fields = {(each.name, result): f"{each.name}:{result}".encode() for each in CACHES for result in RESULTS}
    return {count: int(found.get(field, 0)) for count, field in fields.items()}


class _Breaker:
    """When this process may ask Redis again."""

    def __init__(self) -> None:
        self.until = 0.0
        self.lock = threading.Lock()


_rest = _Breaker()


def _ask(question: Callable[["redis.Redis"], Any]) -> Any:
    """What Redis answers; None where it does not, now or within the last second."""
    if time.monotonic() < _rest.until:
        return None
    try:
        return question(_client())
    except redis.RedisError as error:
        with _rest.lock:
            first, _rest.until = time.monotonic() >= _rest.until, time.monotonic() + REST_SECONDS
        if first:
            log.warning("cache_unavailable", error=str(error))
        return None


def try_redis(question: Callable[["redis.Redis"], Any]) -> Any:
    """For caches of another shape: what Redis answers, with the same impatience; None where it does not."""
    return _ask(question)


@cache
def _client() -> "redis.Redis":
    """A client of its own, that is impatient: a connection that went stale is replaced once, at once."""
    return make_client(
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


@cache
def _scripts() -> tuple[Any, Any]:
    """Claim and keep, as Redis runs them."""
    folder = Path(__file__).parent
    names = ("cache_get_or_lock.lua", "cache_put.lua")
    claim, keep = ((folder / name).read_bytes() for name in names)
    return _client().register_script(claim), _client().register_script(keep)
