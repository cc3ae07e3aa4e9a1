"""The cache: one maker at a time, bounded memory, and no more than a cache when Redis is away."""

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
SOME = Cache("images", 60)


class Kitchen:
    """Makes entries, and counts them. With a door, every making waits behind it until it is opened."""

    def __init__(self, door: threading.Event | None = None, bytes_each: int = 10) -> None:
        self.made = 0
        self._lock, self._door, self._bytes = threading.Lock(), door, bytes_each

    def make(self) -> bytes:
        with self._lock:
            self.made += 1
        if self._door is not None:
            assert self._door.wait(10)
        return b"x" * self._bytes


@pytest.fixture(autouse=True)
def rested(clean: None) -> Iterator[None]:
    """An empty Redis that nobody thinks is away."""
    cache._breaker.open_until = 0.0
    yield
    cache._breaker.open_until = 0.0


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that nobody reaches."""
    gone = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(cache, "_client", lambda: gone)


def small(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    changed = settings().model_copy(update=limits)
    monkeypatch.setattr(cache, "settings", lambda: changed)


def test_an_entry_is_made_once() -> None:
    kitchen = Kitchen()

    found = [SOME.get_or_create("a", kitchen.make, OWNER) for _ in range(3)]

    assert found == [b"x" * 10] * 3
    assert kitchen.made == 1


def test_other_names_and_other_caches_are_other_entries() -> None:
    kitchen = Kitchen()

    for kind, name in ((SOME, "a"), (SOME, "b"), (Cache("statistics", 60), "a")):
        kind.get_or_create(name, kitchen.make, OWNER)

    assert kitchen.made == 3


class TestAHundredMisses:
    """A hundred threads miss at once. The first making is held up until the others have looked."""

    def made(self, monkeypatch: pytest.MonkeyPatch) -> int:
        n, looked, door = 100, threading.Semaphore(0), threading.Event()
        kitchen, claim = Kitchen(door), cache._Entry.get_or_lock

        def counted(entry: Any, owner: UUID) -> Any:
            found = claim(entry, owner)
            looked.release()
            return found

        monkeypatch.setattr(cache._Entry, "get_or_lock", counted)

        def open_door() -> bytes:
            for _ in range(n):
                assert looked.acquire(timeout=10)
            door.set()
            return b"x" * 10

        asks = [lambda: SOME.get_or_create("a", kitchen.make, OWNER)] * n
        assert run_concurrently([*asks, open_door]) == [b"x" * 10] * (n + 1)
        return kitchen.made

    def test_make_an_entry_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.made(monkeypatch) == 1

    def test_negative_control_without_the_lock_each_makes_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        claim = cache._Entry.get_or_lock

        def unlocked(entry: Any, owner: UUID) -> Any:
            found = claim(entry, owner)
            return "locked" if found == "busy" else found

        monkeypatch.setattr(cache._Entry, "get_or_lock", unlocked)

        assert self.made(monkeypatch) == 100


def test_who_waits_for_a_maker_that_fails_makes_it() -> None:
    started, fail = threading.Event(), threading.Event()
    kitchen = Kitchen()

    def fails() -> bytes:
        started.set()
        assert fail.wait(10)
        raise ZeroDivisionError

    def first() -> bytes:
        with pytest.raises(ZeroDivisionError):
            SOME.get_or_create("a", fails, OWNER)
        return b""

    def second() -> bytes:
        assert started.wait(10)
        threading.Timer(0.01, fail.set).start()
        return SOME.get_or_create("a", kitchen.make, OWNER)

    assert run_concurrently([first, second]) == [b"", b"x" * 10]
    assert kitchen.made == 1


def test_who_waits_for_a_maker_that_was_killed_goes_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAKER_WAIT_SECONDS", 0.05)
    assert cache._Entry(SOME, "a").get_or_lock(OWNER) == "locked"

    assert SOME.get_or_create("a", Kitchen().make, OWNER) == b"x" * 10


def test_every_key_has_a_life() -> None:
    SOME.get_or_create("a", Kitchen().make, OWNER)
    with pytest.raises(ZeroDivisionError):
        SOME.get_or_create("b", lambda: bytes(1 // 0), OWNER)
    cache._Entry(SOME, "c").get_or_lock(OWNER)

    found: Any = redis_client().keys("*cache*")
    names = [name.decode() for name in found]

    assert {name.removeprefix(key("cache", "")) for name in names} == {
        "images:a",
        "lock:images:c",
        "index",
        "size",
        "lookups",
        f"lookups:{OWNER}",
    }
    assert all(redis_client().ttl(name) > 0 for name in names)


def test_an_entry_that_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, cache_max_entry_kb=1)
    kitchen = Kitchen(bytes_each=1025)

    assert len(SOME.get_or_create("a", kitchen.make, OWNER)) == 1025
    SOME.get_or_create("a", kitchen.make, OWNER)

    assert kitchen.made == 2


def stored() -> int:
    return sum(redis_client().strlen(name) for name in redis_client().keys(key("cache", "images", "*")))


def test_all_entries_together_stay_below_their_limit_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, cache_max_mb=1)
    kitchen = Kitchen(bytes_each=100_000)

    for n in range(25):
        SOME.get_or_create(str(n), kitchen.make, OWNER)

    assert 900_000 <= stored() <= 2**20
    assert int(redis_client().get(key("cache", "size")) or 0) <= 2**20
    assert redis_client().exists(key("cache", "images", "24"))
    assert not redis_client().exists(key("cache", "images", "0"))


@pytest.mark.parametrize("lost", ["index", "size"])
def test_the_limit_outlives_an_eviction_by_redis(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """A volatile-* policy may take the books away too; then at most one more measure of entries lives on."""
    small(monkeypatch, cache_max_mb=1)
    kitchen = Kitchen(bytes_each=100_000)

    for n in range(40):
        SOME.get_or_create(str(n), kitchen.make, OWNER)
        if n == 10:
            redis_client().delete(key("cache", lost))

    assert stored() <= 2 * 2**20
    assert int(redis_client().get(key("cache", "size")) or 0) <= 2**20


def test_with_redis_away_everything_is_made(away: None) -> None:
    kitchen = Kitchen()

    assert [SOME.get_or_create("a", kitchen.make, OWNER) for _ in range(3)] == [b"x" * 10] * 3
    assert kitchen.made == 3
    assert cache.lookup_counts() is None


def test_redis_that_is_away_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch, away: None) -> None:
    asked: list[float] = []
    now = [100.0]
    gone = cache._client()

    def ask() -> "redis.Redis":
        asked.append(now[0])
        return gone

    monkeypatch.setattr(cache, "_client", ask)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for now[0] in (100.0, 100.5, 100.9, 101.1, 101.5):
        SOME.get_or_create("a", Kitchen().make, OWNER)

    assert asked == [100.0, 101.1]


def test_redis_that_comes_back_is_used_again() -> None:
    kitchen = Kitchen()
    SOME.get_or_create("a", kitchen.make, OWNER)
    redis_client().script_flush()  # as after a restart: the scripts are gone, and so are the connections
    redis_client().client_kill_filter(_type="normal", skipme=True)

    SOME.get_or_create("a", kitchen.make, OWNER)

    assert kitchen.made == 1


def test_looks_are_counted_for_all_and_for_each_organization() -> None:
    other = uuid4()
    for name, owner in (("a", OWNER), ("a", OWNER), ("a", other), ("b", other)):
        SOME.get_or_create(name, Kitchen().make, owner)

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

    def test_are_what_prometheus_reads(self, client: Any) -> None:
        for _ in range(4):
            SOME.get_or_create("a", Kitchen().make, OWNER)

        answer = client.get("/metrics")

        assert answer.status_code == 200
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
        help_line, type_line, *samples = answer.text.splitlines()
        assert help_line.startswith("# HELP qr_cache_requests_total ")
        assert type_line == "# TYPE qr_cache_requests_total counter"
        assert samples == [
            'qr_cache_requests_total{cache="images",result="hit"} 3',
            'qr_cache_requests_total{cache="images",result="miss"} 1',
            'qr_cache_requests_total{cache="statistics",result="hit"} 0',
            'qr_cache_requests_total{cache="statistics",result="miss"} 0',
        ]
        assert answer.text.endswith("\n")

    @pytest.mark.usefixtures("away")
    def test_with_redis_away_there_are_none(self, client: Any) -> None:
        answer = client.get("/metrics")

        assert answer.status_code == 200
        assert all(line.startswith("#") for line in answer.text.splitlines())


def test_what_a_process_used_last_needs_no_redis_and_is_counted_later(
    clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, owner = Cache("images", 60, LocalCache(1_000)), uuid4()
    assert near.get_or_create("a", lambda: b"picture", owner) == b"picture"
    with monkeypatch.context() as away:
        away.setattr(cache, "_query", lambda question: None)
        for _ in range(3):
            assert near.get_or_create("a", never, owner) == b"picture"
    near.local.get("a", owner)
    near.report_hits()
    told = cache.lookup_counts(owner) or {}
    assert (told["images", "hit"], told["images", "miss"]) == (4, 1)


def test_a_process_keeps_no_more_than_it_may_and_what_was_used_last() -> None:
    near, owner = LocalCache(160), uuid4()
    for number in range(30):
        near.put(str(number), bytes(10))
        assert near.get("0", owner) is not None
    kept = [number for number in range(30) if near.get(str(number), owner) is not None]
    assert kept == [0, *range(15, 30)]
    near.put("large", bytes(11))
    assert near.get("large", owner) is None


def never() -> bytes:
    raise AssertionError("made again")
