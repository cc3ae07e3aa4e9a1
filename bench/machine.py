"""The machine before a run: how busy it is with other work, and how fast its disk and loopback are."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import psutil
import psycopg
import redis

from script.stack import EmbeddedPostgres, EmbeddedRedis
from script.stack.files import temporary_directory

MAX_BUSY_PERCENT = 20.0
SAMPLE_SECONDS = 2.0
COMMITS, PINGS = 200, 1_000


@dataclass(frozen=True)
class Machine:
    """The measurements. Durations are medians in milliseconds."""

    cores: int
    busy_percent: float
    commit_ms: float
    ping_ms: float

    def __str__(self) -> str:
        return (
            f"Machine: {self.cores} cores, {100 - self.busy_percent:.0f} % idle before the run, "
            f"insert + commit {self.commit_ms:.2f} ms, ping {self.ping_ms:.3f} ms"
        )


def busy_percent() -> float:
    """Return the share of all cores that other processes use during two seconds. I/O wait counts as idle."""
    return psutil.cpu_percent(interval=SAMPLE_SECONDS)


def busy_problem(percent: float) -> str | None:
    """Return why no benchmark should run on a machine this busy, or None if one can."""
    if percent <= MAX_BUSY_PERCENT:
        return None
    return (
        f"This machine is {percent:.0f} % busy with other work. Benchmarks need at most {MAX_BUSY_PERCENT:.0f} %. "
        "Stop the other work, or add --anyway."
    )


def measure(busy: float) -> Machine:
    """Measure inserts, each committed, and pings on the embedded stores, as durable as those of `script/server`."""
    with temporary_directory("waymark-bench-") as data:
        postgres = EmbeddedPostgres(data / "postgres")
        try:
            with postgres, EmbeddedRedis(data / "redis") as store:
                commit_ms, ping_ms = commit_milliseconds(postgres.url), ping_milliseconds(store.url)
        finally:
            postgres.destroy()
    return Machine(os.cpu_count() or 1, busy, commit_ms, ping_ms)


def commit_milliseconds(url: str) -> float:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE commits (n integer)")
        return _median_milliseconds(lambda: conn.execute("INSERT INTO commits VALUES (1)"), COMMITS)


def ping_milliseconds(url: str) -> float:
    with redis.Redis.from_url(url) as client:
        return _median_milliseconds(client.ping, PINGS)


def _median_milliseconds(call: Callable[[], object], calls: int) -> float:
    durations = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return 1_000 * median(durations)
