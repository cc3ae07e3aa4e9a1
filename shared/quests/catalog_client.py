"""A client of the Quest Catalog. Quests are cached in Redis, and served stale while the catalog is unreachable.

An invalid response counts as no response: nothing is tracked, claimed or cached because of it.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shared.errors import NotFound, Unavailable
from shared.infra import cache
from shared.infra.logging import get_logger
from shared.infra.metrics import Counter
from shared.infra.redis import key
from shared.quests import grpc_channel
from shared.quests.rules import Quest, QuestReward
from shared.settings import settings

log = get_logger()

PAUSE_SECONDS = 1.0
"""After a failure the catalog is not called for this long, so not every request waits for its timeout."""
LOCAL_TTL_SECONDS = 1.0
"""How long a process uses quests without reading Redis. A change of the catalog takes GRPC_CACHE_TTL_SECONDS anyway."""
MAX_QUESTS = 10_000
MAX_QUANTITY = 1_000_000
NOT_FOUND_TTL_SECONDS = 1.0
"""How long a process remembers that the catalog does not have a quest."""
LOOKUPS = Counter(
    "waymark_catalog_lookups_total",
    "Lookups of quests, by source: cache, called, stale (the catalog was unavailable), or failed.",
    ("source",),
)
CACHE_FORMAT = 2
"""The format of the entries in Redis, a part of their keys. A release with another format reads other keys."""


class QuestNotFound(NotFound):
    """There is no quest of this name."""


class CatalogUnavailable(Unavailable):
    """The quest catalog is unavailable. Retry shortly."""


class CatalogInvalidResponse(Unavailable):
    """The response of the quest catalog is invalid, and nothing was changed. Retry later."""


def get_quest(name: str) -> Quest:
    """Return the quest of this name. Raises QuestNotFound, CatalogUnavailable, CatalogInvalidResponse."""
    trusted_until, remembered = _memory.get(name, (0.0, None))
    if remembered is not None and time.monotonic() < trusted_until:
        LOOKUPS.labels("cache").inc()
        return remembered.quest
    # Stale ones are returned while the catalog is unreachable: from Redis, or from this process without Redis.
    cached = _read_redis(name) or remembered
    if cached is not None and cached.is_fresh and cached is not remembered:
        LOOKUPS.labels("cache").inc()
        return _remember(name, cached)
    if cached is None or not cached.is_usable_stale:
        with _counted("failed"):
            return _remember(name, _fetch(name))
    return _refresh(name, cached)


def clear_cache() -> None:
    """Clear the cache of this process and its pause after a failure. The cache in Redis stays."""
    _memory.clear()
    _missing.clear()
    _pause.until = 0.0


@dataclass(frozen=True)
class _CachedQuest:
    """A quest of the catalog, and until when it is fresh."""

    quest: Quest
    fresh_until: float

    @property
    def is_fresh(self) -> bool:
        return time.time() < self.fresh_until

    @property
    def is_usable_stale(self) -> bool:
        """True if the quest may be served while the catalog is unreachable."""
        return time.time() < self.fresh_until + settings().grpc_cache_stale_hours * 3600


class _Pause:
    """The pause after a failure: when this process may call the catalog again."""

    until = 0.0


_pause = _Pause()
_memory: dict[str, tuple[float, _CachedQuest]] = {}
_missing: dict[str, float] = {}
_renewing: set[str] = set()
_lock = threading.Lock()


def _refresh(name: str, old: _CachedQuest) -> Quest:
    """Fetch again in one thread of this process. The other threads return the old quest without waiting."""
    with _lock:
        if name in _renewing:
            LOOKUPS.labels("stale").inc()
            return old.quest
        _renewing.add(name)
    try:
        with _counted("stale"):
            return _remember(name, _fetch(name))
    except (CatalogUnavailable, CatalogInvalidResponse) as error:
        log.warning("catalog_served_stale", quest=name, error=type(error).__name__)
        return _remember(name, old)
    finally:
        _renewing.discard(name)


@contextmanager
def _counted(source_of_failure: str) -> Iterator[None]:
    """Count a lookup that calls the catalog, or that it did not answer."""
    source = "called"
    try:
        yield
    except (CatalogUnavailable, CatalogInvalidResponse):
        source = source_of_failure
        raise
    finally:
        LOOKUPS.labels(source).inc()


def _remember(name: str, cached: _CachedQuest) -> Quest:
    if len(_memory) >= MAX_QUESTS:
        _memory.clear()
    _memory[name] = time.monotonic() + LOCAL_TTL_SECONDS, cached
    return cached.quest


def _fetch(name: str) -> _CachedQuest:
    if time.monotonic() < _missing.get(name, 0.0):
        raise QuestNotFound
    if time.monotonic() < _pause.until:
        raise CatalogUnavailable
    try:
        return _write_redis(name, _fetch_quest(name))
    except QuestNotFound:
        if len(_missing) >= MAX_QUESTS:
            _missing.clear()
        _missing[name] = time.monotonic() + NOT_FOUND_TTL_SECONDS
        _memory.pop(name, None)
        _delete_redis(name)
        raise


def _fetch_quest(name: str) -> Quest:
    from shared.quests import quest_pb2  # noqa: PLC0415 - when first used

    response = _call("GetQuestInfo", quest_pb2.QuestRequest(quest_name=name))
    if response.name != name:
        raise _invalid_response(name, f"returned {response.name!r}")
    return _read(response)


def _call(method: str, request: Any) -> Any:
    import grpc  # noqa: PLC0415 - when first used

    try:
        return grpc_channel.call(method, request)
    except grpc.RpcError as error:
        status = error.code() if isinstance(error, grpc.Call) else None
        if status == grpc.StatusCode.NOT_FOUND:
            raise QuestNotFound from None
        details = error.details() if isinstance(error, grpc.Call) else repr(error)
        log.warning("catalog_unavailable", method=method, status=getattr(status, "name", None), details=details)
        # Unreadable, or too large.
        if status in (grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED):
            raise CatalogInvalidResponse from error
        # The whole catalog failed, not only this call.
        if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            _pause.until = time.monotonic() + PAUSE_SECONDS
        raise CatalogUnavailable from error


def _read(response: Any) -> Quest:
    """Return the quest of a response. Some catalogs send an empty reward for none. Raises CatalogInvalidResponse."""
    reward = None
    if response.HasField("rewards") and (response.rewards.reward_item or response.rewards.reward_qty):
        reward = QuestReward(response.rewards.reward_item, response.rewards.reward_qty)
        if not (0 < len(reward.item) <= 100 and "\x00" not in reward.item):
            raise _invalid_response(response.name, "a reward whose name cannot be stored")
        if not 0 < reward.quantity <= MAX_QUANTITY:
            raise _invalid_response(response.name, f"a reward of {reward.quantity}")
    if not 0 < len(response.name) <= 200 or "\x00" in response.name:
        raise _invalid_response(response.name, "a name that cannot be stored")
    if response.streak < 1 or response.duplication < 1:
        raise _invalid_response(response.name, f"streak {response.streak}, duplication {response.duplication}")
    return Quest(response.name, response.streak, response.duplication, response.auto_claim, reward)


def _invalid_response(name: str, reason: str) -> CatalogInvalidResponse:
    log.error("catalog_invalid_response", quest=name, reason=reason)
    return CatalogInvalidResponse()


def _key(name: str) -> str:
    """Return the key of an entry. The address is a part of it, because another address is another catalog."""
    return key("quest_catalog", CACHE_FORMAT, sha256(f"{settings().grpc_server_url}\n{name}".encode()).hexdigest()[:32])


def _read_redis(name: str) -> _CachedQuest | None:
    """Return the entry in Redis, or None if there is none, it is unreadable, or Redis is unavailable."""
    stored = cache.try_redis(lambda client: client.get(_key(name)))
    if not isinstance(stored, bytes):
        return None
    try:
        entry = json.loads(stored)
        return _CachedQuest(Quest.from_terms(entry["terms"], name), float(entry["fresh_until"]))
    except (ValueError, TypeError, LookupError) as error:
        log.warning("catalog_cache_unreadable", quest=name, error=repr(error))
        return None


def _write_redis(name: str, quest: Quest) -> _CachedQuest:
    fresh = settings().grpc_cache_ttl_seconds
    cached = _CachedQuest(quest, time.time() + fresh)
    entry = {"fresh_until": cached.fresh_until, "terms": quest.terms()}
    ttl = int(fresh + settings().grpc_cache_stale_hours * 3600) or 1
    cache.try_redis(lambda client: client.set(_key(name), json.dumps(entry), ex=ttl))
    return cached


def _delete_redis(name: str) -> None:
    cache.try_redis(lambda client: client.delete(_key(name)))
