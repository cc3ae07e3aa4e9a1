"""Probes have no rate limit, so their load on the stores must not depend on the number of requests."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from flask import Flask
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.infra import broker as infra_broker
from shared.infra import health
from shared.infra import redis as redises
from shared.infra.db import Conn
from shared.infra.local_cache import CachedResult
from web.api import health as health_api
from web.api import metrics as metrics_api
from web.realtime import fanout
from web.realtime.fanout import Fanout
from web.realtime.verdict_waiters import VerdictWaiters

HOUR = 3_600.0
REQUESTS = 60
PROBES = {
    "/readyz": (health_api.REDIS_EXTENSION, "cmdstat_ping"),
    "/metrics": (metrics_api.EXTENSION, "cmdstat_hgetall"),
}


def redis_calls(command: str) -> int:
    """Return how often Redis has run a command since it started."""
    statistics = redises.client().info("commandstats")
    return int(statistics.get(command, {"calls": 0})["calls"])


def burst(app: Flask, path: str) -> list[int]:
    """Request the path many times from several threads. Return the statuses."""
    with ThreadPoolExecutor(6) as threads:
        return list(threads.map(lambda _: app.test_client().get(path).status_code, range(REQUESTS)))


@pytest.mark.parametrize(("seconds", "refreshes"), [(HOUR, 1), (0.0, REQUESTS)], ids=["cached", "negative control"])
@pytest.mark.parametrize("path", PROBES)
def test_burst_on_a_probe_reads_the_stores_once(
    app: Flask, clean: None, monkeypatch: pytest.MonkeyPatch, path: str, seconds: float, refreshes: int
) -> None:
    extension, command = PROBES[path]
    compute = app.extensions[extension]._compute
    monkeypatch.setitem(app.extensions, extension, CachedResult(compute, 0.0))
    app.test_client().get(path)
    before = redis_calls(command)
    app.test_client().get(path)
    per_refresh = redis_calls(command) - before
    assert per_refresh >= 1

    monkeypatch.setitem(app.extensions, extension, CachedResult(compute, seconds))
    before = redis_calls(command)
    statuses = burst(app, path)

    assert statuses == [200] * REQUESTS
    calls = redis_calls(command) - before
    assert calls == per_refresh if refreshes == 1 else calls > per_refresh


@pytest.mark.parametrize("path", PROBES)
def test_application_caches_its_probes(app: Flask, clean: None, path: str) -> None:
    extension, _ = PROBES[path]
    assert isinstance(app.extensions[extension], CachedResult)
    assert app.extensions[extension]._seconds == 1.0


@pytest.fixture
def uncached(app: Flask, clean: None) -> Iterator[Callable[[], None]]:
    """Yield a function that clears the cached readiness, as when its second is over."""

    def clear() -> None:
        for name in (health_api.BROKER_EXTENSION, health_api.DATABASE_EXTENSION, health_api.REDIS_EXTENSION):
            app.extensions[name].clear()

    clear()
    yield clear
    clear()


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = redis.Redis(port=9, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(health, "client", lambda: unreachable)
    monkeypatch.setattr(infra_broker, "broker_client", lambda: unreachable)


def test_readiness_is_checked_again_after_its_time(
    app: Flask, uncached: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    assert app.test_client().get("/readyz").status_code == 200
    request.getfixturevalue("no_redis")
    assert app.test_client().get("/readyz").status_code == 200
    uncached()

    response = app.test_client().get("/readyz")

    assert (response.status_code, response.get_json()["detail"]) == (503, "Not ready: redis, broker.")
    assert response.headers["Retry-After"] == "2"


@pytest.mark.usefixtures("uncached", "no_redis")
@pytest.mark.parametrize(
    ("only", "missing"),
    [
        ("postgresql,migrations", None),
        ("migrations", None),
        ("redis", "redis"),
        ("postgresql,broker", "broker"),
        ("broker,redis", "redis, broker"),
    ],
)
def test_only_limits_the_checks(app: Flask, only: str, missing: str | None) -> None:
    response = app.test_client().get(f"/readyz?only={only}")

    if missing is None:
        assert response.status_code == 200
    else:
        assert (response.status_code, response.get_json()["detail"]) == (503, f"Not ready: {missing}.")


@pytest.mark.parametrize(
    ("only", "extension"), [("migrations", health_api.REDIS_EXTENSION), ("redis", health_api.DATABASE_EXTENSION)]
)
def test_only_contacts_the_stores_it_names(
    app: Flask, monkeypatch: pytest.MonkeyPatch, only: str, extension: str
) -> None:
    def fail() -> dict[str, bool]:
        raise AssertionError("another store was contacted")

    monkeypatch.setitem(app.extensions, extension, CachedResult(fail, HOUR))
    assert app.test_client().get(f"/readyz?only={only}").status_code == 200


@pytest.mark.parametrize("query", ["only=", "only=mysql", "only=redis,", "only=redis,%20broker", "only=REDIS"])
def test_only_refuses_unknown_names(app: Flask, clean: None, query: str) -> None:
    response = app.test_client().get(f"/readyz?{query}")

    assert response.status_code == 422
    assert [error["loc"] for error in response.get_json()["errors"]] == ["query.only"]


@pytest.fixture
def schema(conn: Conn) -> Iterator[Callable[[str, int], None]]:
    """Yield a function that sets the revision and the floor of the schema."""

    def set_to(revision: str, floor: int) -> None:
        conn.execute("UPDATE alembic_version SET version_num = %s", (revision,))
        conn.execute("UPDATE schema_floor SET code = %s", (floor,))

    yield set_to
    set_to(health.required_migration(), 1)


@pytest.mark.parametrize(
    ("revision", "floor", "status"),
    [(0, 0, 200), (1, 0, 200), (30, 0, 200), (-1, -1, 503), (1, -1, 200), (1, 1, 503), (30, 30, 503)],
)
def test_code_is_ready_between_the_floor_and_the_revision_of_the_schema(
    app: Flask,
    schema: Callable[[str, int], None],
    uncached: Callable[[], None],
    revision: int,
    floor: int,
    status: int,
) -> None:
    current = int(health.required_migration())
    schema(f"{current + revision:04}", current + floor)

    response = app.test_client().get("/readyz?only=migrations")

    assert response.status_code == status
    if status == 503:
        assert response.get_json()["detail"] == "Not ready: migrations."


def test_draining_process_accepts_nothing_but_is_alive(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.test_client().get("/healthz?accepting").json == {"status": "ok"}
    draining = Fanout(VerdictWaiters(1))
    draining.close()
    monkeypatch.setitem(app.extensions, fanout.EXTENSION, draining)

    response = app.test_client().get("/healthz?accepting")

    assert (response.status_code, response.get_json()["code"]) == (503, "draining")
    assert app.test_client().get("/healthz").status_code == 200


def test_healthz_needs_no_store(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a store was contacted")

    monkeypatch.setattr("shared.infra.db.pool", fail)
    monkeypatch.setattr("redis.Redis.execute_command", fail)

    assert app.test_client().get("/healthz").json == {"status": "ok"}


class TestCachedResult:
    def test_concurrent_callers_compute_once(self) -> None:
        started, release, calls = threading.Event(), threading.Event(), []

        def compute() -> int:
            started.set()
            assert release.wait(10)
            calls.append(1)
            return len(calls)

        result = CachedResult(compute, HOUR)
        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(result.get) for _ in range(4)]
            assert started.wait(10)
            release.set()
            assert [future.result(10) for future in waiting] == [1] * 4

    def test_expired_result_is_returned_while_another_thread_computes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr("shared.infra.local_cache.time.monotonic", lambda: now)
        started, release = threading.Event(), threading.Event()
        values = iter(["old", "new"])

        def compute() -> str:
            value = next(values)
            if value == "new":
                started.set()
                assert release.wait(10)
            return value

        result = CachedResult(compute, 1.0)
        assert result.get() == "old"
        now = 2.0
        with ThreadPoolExecutor(1) as threads:
            refreshing = threads.submit(result.get)
            assert started.wait(10)
            assert result.get() == "old"
            release.set()
            assert refreshing.result(10) == "new"

    def test_result_expires(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr("shared.infra.local_cache.time.monotonic", lambda: now)
        numbers = iter(range(10))
        result = CachedResult(lambda: next(numbers), 1.0)

        assert [result.get(), result.get()] == [0, 0]
        now = 0.999
        assert result.get() == 0
        now = 1.0
        assert result.get() == 1

    def test_failed_computation_is_not_cached(self) -> None:
        outcomes = iter([ZeroDivisionError(), None])

        def compute() -> int:
            if error := next(outcomes):
                raise error
            return 1

        result = CachedResult(compute, HOUR)
        with pytest.raises(ZeroDivisionError):
            result.get()
        assert result.get() == 1
