"""Probes have no rate limit, so their load on the stores must not depend on the number of requests."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from shared.infra import health
from shared.infra import redis as redises
from shared.infra.local_cache import CachedResult
from web.api import health as health_api
from web.api import metrics as metrics_api

HOUR = 3_600.0
REQUESTS = 60
PROBES = {
    "/readyz": (health_api.EXTENSION, "cmdstat_ping"),
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


def test_readiness_is_checked_again_after_its_time(app: Flask, clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    app.extensions[health_api.EXTENSION].clear()
    assert app.test_client().get("/readyz").status_code == 200
    monkeypatch.setattr(health, "_check_redis", lambda: {"redis": False, "broker": False})
    app.extensions[health_api.EXTENSION].clear()  # as when the second is over

    response = app.test_client().get("/readyz")
    app.extensions[health_api.EXTENSION].clear()

    assert (response.status_code, response.get_json()["detail"]) == (503, "Not ready: redis, broker.")
    assert response.headers["Retry-After"] == "2"


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
