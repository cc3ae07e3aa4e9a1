"""The cache: concurrent misses create an entry once, memory is bounded, and every request works without Redis."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.infra import cache
from shared.infra.cache import Cache
from shared.infra.local_cache import LocalCache
from shared.infra.redis import client as redis_client
from shared.infra.redis import key
from shared.settings import settings
from tests.support.concurrency import run_concurrently
from web.api import metrics

OWNER = uuid4()
IMAGES = Cache("images", 60)


class Maker:
    """Creates entries, and counts them. With a gate, it waits until the gate is opened."""

    def __init__(self, gate: threading.Event | None = None, bytes_each: int = 10) -> None:
        self.count = 0
        self._lock, self._gate, self._bytes = threading.Lock(), gate, bytes_each

    def make(self) -> bytes:
        with self._lock:
            self.count += 1
        if self._gate is not None:
            assert self._gate.wait(10)
        return b"x" * self._bytes


@pytest.fixture(autouse=True)
def closed_breaker(clean: None) -> Iterator[None]:
    """An empty Redis, which this process considers available."""
    cache._breaker.open_until = 0.0
    yield
    cache._breaker.open_until = 0.0


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of a Redis that does not exist."""
    unreachable = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(cache, "_client", lambda: unreachable)


def set_limits(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    changed = settings().model_copy(update=limits)
    monkeypatch.setattr(cache, "settings", lambda: changed)


def test_an_entry_is_created_once() -> None:
    maker = Maker()

    entries = [IMAGES.get_or_create("a", maker.make, OWNER) for _ in range(3)]

    assert entries == [b"x" * 10] * 3
    assert maker.count == 1


def test_entries_differ_by_name_and_cache() -> None:
    maker = Maker()

    for kind, name in ((IMAGES, "a"), (IMAGES, "b"), (Cache("statistics", 60), "a")):
        kind.get_or_create(name, maker.make, OWNER)

    assert maker.count == 3


class TestAHundredMisses:
    """A hundred threads miss. The first one creates the entry after the others have looked for it."""

    def count_created(self, monkeypatch: pytest.MonkeyPatch) -> int:
        n, lookups, gate = 100, threading.Semaphore(0), threading.Event()
        maker, get_or_lock = Maker(gate), cache._Entry.get_or_lock

        def counted(entry: Any, owner: UUID) -> Any:
            result = get_or_lock(entry, owner)
            lookups.release()
            return result

        monkeypatch.setattr(cache._Entry, "get_or_lock", counted)

        def open_gate() -> bytes:
            for _ in range(n):
                assert lookups.acquire(timeout=10)
            gate.set()
            return b"x" * 10

        requests = [lambda: IMAGES.get_or_create("a", maker.make, OWNER)] * n
        assert run_concurrently([*requests, open_gate]) == [b"x" * 10] * (n + 1)
        return maker.count

    def test_create_an_entry_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.count_created(monkeypatch) == 1

    def test_negative_control_without_the_lock_each_creates_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        get_or_lock = cache._Entry.get_or_lock

        def unlocked(entry: Any, owner: UUID) -> Any:
            result = get_or_lock(entry, owner)
            return "locked" if result == "busy" else result

        monkeypatch.setattr(cache._Entry, "get_or_lock", unlocked)

        assert self.count_created(monkeypatch) == 100


def test_a_waiting_request_creates_the_entry_if_the_first_fails() -> None:
    started, fail = threading.Event(), threading.Event()
    maker = Maker()

    def fails() -> bytes:
        started.set()
        assert fail.wait(10)
        raise ZeroDivisionError

    def first() -> bytes:
        with pytest.raises(ZeroDivisionError):
            IMAGES.get_or_create("a", fails, OWNER)
        return b""

    def second() -> bytes:
        assert started.wait(10)
        threading.Timer(0.01, fail.set).start()
        return IMAGES.get_or_create("a", maker.make, OWNER)

    assert run_concurrently([first, second]) == [b"", b"x" * 10]
    assert maker.count == 1


def test_a_waiting_request_does_not_wait_for_a_killed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAKER_WAIT_SECONDS", 0.05)
    assert cache._Entry(IMAGES, "a").get_or_lock(OWNER) == "locked"

    assert IMAGES.get_or_create("a", Maker().make, OWNER) == b"x" * 10


def test_every_key_expires() -> None:
    IMAGES.get_or_create("a", Maker().make, OWNER)
    with pytest.raises(ZeroDivisionError):
        IMAGES.get_or_create("b", lambda: bytes(1 // 0), OWNER)
    cache._Entry(IMAGES, "c").get_or_lock(OWNER)

    keys: Any = redis_client().keys("*cache*")
    names = [name.decode() for name in keys]

    assert {name.removeprefix(key("cache", "")) for name in names} == {
        "images:a",
        "lock:images:c",
        "index",
        "size",
        "lookups",
        f"lookups:{OWNER}",
    }
    assert all(redis_client().ttl(name) > 0 for name in names)


def test_a_too_large_entry_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, cache_max_entry_kb=1)
    maker = Maker(bytes_each=1025)

    assert len(IMAGES.get_or_create("a", maker.make, OWNER)) == 1025
    IMAGES.get_or_create("a", maker.make, OWNER)

    assert maker.count == 2


def stored() -> int:
    return sum(redis_client().strlen(name) for name in redis_client().keys(key("cache", "images", "*")))


def test_the_oldest_entries_are_evicted_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, cache_max_mb=1)
    maker = Maker(bytes_each=100_000)

    for n in range(25):
        IMAGES.get_or_create(str(n), maker.make, OWNER)

    assert 900_000 <= stored() <= 2**20
    assert 0 < int(redis_client().get(key("cache", "size")) or 0) <= 2**20
    assert redis_client().exists(key("cache", "images", "24"))
    assert not redis_client().exists(key("cache", "images", "0"))


@pytest.mark.parametrize("lost", ["index", "size"])
def test_memory_is_bounded_after_redis_evicts_the_index(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    # A volatile-* policy may evict index or size. Then at most twice the limit is stored.
    set_limits(monkeypatch, cache_max_mb=1)
    maker = Maker(bytes_each=100_000)

    for n in range(40):
        IMAGES.get_or_create(str(n), maker.make, OWNER)
        if n == 10:
            redis_client().delete(key("cache", lost))

    assert 900_000 <= stored() <= 2 * 2**20
    assert 0 < int(redis_client().get(key("cache", "size")) or 0) <= 2**20


def test_without_redis_every_lookup_creates_the_entry(without_redis: None) -> None:
    maker = Maker()

    assert [IMAGES.get_or_create("a", maker.make, OWNER) for _ in range(3)] == [b"x" * 10] * 3
    assert maker.count == 3
    assert cache.lookup_counts() is None


def test_an_unavailable_redis_is_tried_once_a_second(monkeypatch: pytest.MonkeyPatch, without_redis: None) -> None:
    tries: list[float] = []
    now = [100.0]
    unreachable, thread = cache._client(), threading.get_ident()

    def client() -> "redis.Redis":
        # Threads of earlier tests may still report their lookups.
        if threading.get_ident() == thread:
            tries.append(now[0])
        return unreachable

    monkeypatch.setattr(cache, "_client", client)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for now[0] in (100.0, 100.5, 100.9, 101.1, 101.5):
        IMAGES.get_or_create("a", Maker().make, OWNER)

    assert tries == [100.0, 101.1]


def test_a_restarted_redis_is_used_again() -> None:
    maker = Maker()
    IMAGES.get_or_create("a", maker.make, OWNER)
    # A restart loses scripts and connections.
    redis_client().script_flush()
    redis_client().client_kill_filter(_type="normal", skipme=True)

    IMAGES.get_or_create("a", maker.make, OWNER)

    assert maker.count == 1


def test_lookups_are_counted_in_total_and_per_organization() -> None:
    other = uuid4()
    for name, owner in (("a", OWNER), ("a", OWNER), ("a", other), ("b", other)):
        IMAGES.get_or_create(name, Maker().make, owner)

    assert cache.lookup_counts(OWNER) == {
        ("images", "hit"): 1,
        ("images", "miss"): 1,
        ("statistics", "hit"): 0,
        ("statistics", "miss"): 0,
    }
    assert (cache.lookup_counts(other) or {})["images", "hit"] == 1
    assert (cache.lookup_counts() or {})["images", "hit"] == 2
    assert (cache.lookup_counts() or {})["images", "miss"] == 2


class TestMetrics:
    @pytest.fixture(autouse=True)
    def uncached(self, app: Any) -> None:
        app.extensions[metrics.EXTENSION].clear()

    def test_report_the_lookups_of_all_processes(self, client: Any) -> None:
        for _ in range(4):
            IMAGES.get_or_create("a", Maker().make, OWNER)

        assert samples(client) == [
            'qr_cache_requests_total{cache="images",result="hit"} 3.0',
            'qr_cache_requests_total{cache="images",result="miss"} 1.0',
            'qr_cache_requests_total{cache="statistics",result="hit"} 0.0',
            'qr_cache_requests_total{cache="statistics",result="miss"} 0.0',
        ]

    @pytest.mark.usefixtures("without_redis")
    def test_have_no_lookups_without_redis(self, client: Any) -> None:
        assert samples(client) == []


def samples(client: Any) -> list[str]:
    response = client.get("/metrics")
    assert response.status_code == 200
    return [line for line in response.text.splitlines() if line.startswith("qr_cache_requests_total")]


def test_local_hits_need_no_redis_and_are_reported_later(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    images, owner = Cache("images", 60, LocalCache(1_000)), uuid4()
    assert images.get_or_create("a", lambda: b"image", owner) == b"image"
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_query", lambda question: None)
        for _ in range(3):
            assert images.get_or_create("a", never, owner) == b"image"
    images.local.get("a", owner)
    images.report_hits()
    counts = cache.lookup_counts(owner) or {}
    assert (counts["images", "hit"], counts["images", "miss"]) == (4, 1)


def test_a_local_cache_evicts_the_least_recently_used_entries() -> None:
    local, owner = LocalCache(160), uuid4()
    for number in range(30):
        local.put(str(number), bytes(10))
        assert local.get("0", owner) is not None
    stored = [number for number in range(30) if local.get(str(number), owner) is not None]
    assert stored == [0, *range(15, 30)]
    local.put("large", bytes(11))
    assert local.get("large", owner) is None


def never() -> bytes:
    raise AssertionError("created again")
