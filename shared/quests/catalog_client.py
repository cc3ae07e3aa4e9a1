"""A client of the Quest Catalog. Quests are cached in Redis, and served stale while the catalog is unreachable.

An invalid response counts as no response: nothing is tracked, claimed or cached because of it.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shared.errors import NotFound, Unavailable
from shared.infra import cache
from shared.infra.logging import get_logger
from shared.infra.redis import key
from shared.quests import grpc_channel
from shared.quests.rules import Quest, QuestReward
from shared.settings import settings

log = get_logger()

REST_SECONDS = 1.0
"""After a failure the catalog is left alone this long, so that not every request waits for it in vain."""
LOCAL_TTL_SECONDS = 1.0
"""How long a process trusts what it read from Redis; changes of the catalog take GRPC_CACHE_TTL_SECONDS anyway."""
MAX_QUESTS = 10_000
MAX_QUANTITY = 1_000_000
NOT_FOUND_TTL_SECONDS = 1.0
"""How long a process believes that there is no such quest."""
CACHE_FORMAT = 1
"""Of what is written to Redis: another release may write it otherwise, and looks elsewhere."""
ALL = "*"
"""The name under which the whole list is cached: no quest has it."""


class QuestNotFound(NotFound):
    """There is no quest of this name."""


class CatalogUnavailable(Unavailable):
    """The quest catalog is not answering; try again shortly."""


class CatalogInvalidResponse(Unavailable):
    """The quest catalog's answer makes no sense; nothing was done. Try again later."""


def get_quest(name: str) -> Quest:
    """The quest of this name. Raises NoSuchQuest, CatalogAway, CatalogGarbled."""
    return _cached(name, lambda: [_ask(name)])[0]


def list_quests() -> list[Quest]:
    """Every quest, by name. Raises CatalogAway, CatalogGarbled."""
    return _cached(ALL, _ask_all)


def clear_cache() -> None:
    """Clear the cache of this process and its pause after a failure. The cache in Redis stays."""
    _memory.clear()
    _missing.clear()
    _rest.until = 0.0


@dataclass(frozen=True)
class _CachedQuests:
    """Quests of the catalog, and until when they are fresh."""

    quests: list[Quest]
    fresh_until: float

    @property
    def is_fresh(self) -> bool:
        return time.time() < self.fresh_until

    @property
    def is_usable_stale(self) -> bool:
        """True if the quests may be served while the catalog is unreachable."""
        return time.time() < self.fresh_until + settings().grpc_cache_stale_hours * 3600


class _Rest:
    """The pause after a failure: when this process may call the catalog again."""

    until = 0.0


_rest = _Rest()
_memory: dict[str, tuple[float, _CachedQuests]] = {}
_missing: dict[str, float] = {}
_renewing: set[str] = set()
_lock = threading.Lock()


def _cached(name: str, ask: Callable[[], list[Quest]]) -> list[Quest]:
    """Return the quests from this process, else from Redis, else from the catalog.

    If the catalog is unreachable, return stale ones: from Redis, or from this process if Redis is unavailable too.
    """
    trusted_until, remembered = _memory.get(name, (0.0, None))
    if remembered is not None and time.monotonic() < trusted_until:
        return remembered.quests
    kept = _read_redis(name) or remembered
    if kept is not None and kept.is_fresh and kept is not remembered:
        return _remember(name, kept)
    if kept is None or not kept.is_usable_stale:
        return _remember(name, _fetch(name, ask))
    return _refresh(name, ask, kept)


def _refresh(name: str, ask: Callable[[], list[Quest]], old: _CachedQuests) -> list[Quest]:
    """Asked for again by one thread of this process; the others take what is old and wait for nothing."""
    with _lock:
        if name in _renewing:
            return old.quests
        _renewing.add(name)
    try:
        return _remember(name, _fetch(name, ask))
    except (CatalogUnavailable, CatalogInvalidResponse) as error:
        log.warning("catalog_served_stale", quest=name, error=type(error).__name__)
        return _remember(name, old)
    finally:
        _renewing.discard(name)


def _remember(name: str, kept: _CachedQuests) -> list[Quest]:
    if len(_memory) >= MAX_QUESTS:
        _memory.clear()
    _memory[name] = time.monotonic() + LOCAL_TTL_SECONDS, kept
    return kept.quests


def _fetch(name: str, ask: Callable[[], list[Quest]]) -> _CachedQuests:
    if time.monotonic() < _missing.get(name, 0.0):
        raise QuestNotFound
    if time.monotonic() < _rest.until:
        raise CatalogUnavailable
    try:
        return _write_redis(name, ask())
    except QuestNotFound:
        if len(_missing) >= MAX_QUESTS:
            _missing.clear()
        _missing[name] = time.monotonic() + NOT_FOUND_TTL_SECONDS
        _memory.pop(name, None)
        _delete_redis(name)
        raise


def _ask(name: str) -> Quest:
    from shared.quests import quest_pb2  # noqa: PLC0415 - when first used

    response = _call("GetQuestInfo", quest_pb2.QuestRequest(quest_name=name))
    if response.name != name:
        raise _invalid_response(name, f"returned {response.name!r}")
    return _read(response)


def _ask_all() -> list[Quest]:
    from shared.quests import quest_pb2  # noqa: PLC0415

    response = _call("GetAllQuests", quest_pb2.QuestListRequest())
    if len(response.quests) > MAX_QUESTS:
        raise _invalid_response(ALL, f"returned {len(response.quests)} quests")
    found = {}
    for each in response.quests:
        try:
            found[each.name] = _read(each)
        except CatalogInvalidResponse:
            continue  # it is in the log, and the others are valid
    return [found[name] for name in sorted(found)]


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
        if status in (grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED):  # unreadable, or too large
            raise CatalogInvalidResponse from error
        if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):  # it is, not this one answer
            _rest.until = time.monotonic() + REST_SECONDS
        raise CatalogUnavailable from error


def _read(response: Any) -> Quest:
    """An answer as the rules take it. An empty reward is none, as some catalogs write it."""
    reward = None
    if response.HasField("rewards") and (response.rewards.reward_item or response.rewards.reward_qty):
        reward = QuestReward(response.rewards.reward_item, response.rewards.reward_qty)
        if not (0 < len(reward.item) <= 100 and "\x00" not in reward.item):
            raise _invalid_response(response.name, "a reward without a name that could be stored")
        if not 0 < reward.quantity <= MAX_QUANTITY:
            raise _invalid_response(response.name, f"a reward of {reward.quantity}")
    if not 0 < len(response.name) <= 200 or "\x00" in response.name:
        raise _invalid_response(response.name, "a name that could not be stored")
    if response.streak < 1 or response.duplication < 1:
        raise _invalid_response(response.name, f"streak {response.streak}, duplication {response.duplication}")
    return Quest(response.name, response.streak, response.duplication, response.auto_claim, reward)


def _invalid_response(name: str, why: str) -> CatalogInvalidResponse:
    log.error("catalog_invalid_response", quest=name, why=why)
    return CatalogInvalidResponse()


def _key(name: str) -> str:
    """Named by the catalog too: another address is another catalog."""
    return key("quest_catalog", CACHE_FORMAT, sha256(f"{settings().grpc_server_url}\n{name}".encode()).hexdigest()[:32])


def _read_redis(name: str) -> _CachedQuests | None:
    """What Redis has; what cannot be read is not there."""
    found = cache.try_redis(lambda client: client.get(_key(name)))
    if not isinstance(found, bytes):
        return None
    try:
        response = json.loads(found)
        quests = [Quest.from_terms(terms, each) for each, terms in response["quests"]]
        return _CachedQuests(quests, float(response["fresh_until"]))
    except (ValueError, TypeError, LookupError) as error:
        log.warning("catalog_cache_unreadable", quest=name, error=repr(error))
        return None


def _write_redis(name: str, found: list[Quest]) -> _CachedQuests:
    fresh = settings().grpc_cache_ttl_seconds
    kept = _CachedQuests(found, time.time() + fresh)
    response = {"fresh_until": kept.fresh_until, "quests": [(each.name, each.terms()) for each in found]}
    life = int(fresh + settings().grpc_cache_stale_hours * 3600) or 1
    cache.try_redis(lambda client: client.set(_key(name), json.dumps(response), ex=life))
    return kept


def _delete_redis(name: str) -> None:
    cache.try_redis(lambda client: client.delete(_key(name)))
