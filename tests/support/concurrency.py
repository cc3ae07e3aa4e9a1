"""Things that happen at once."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

from shared.infra.db import Conn

T = TypeVar("T")
DEADLINE_SECONDS = 10


def run_concurrently(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each call returned, all of them let go together."""
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait(DEADLINE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def wait_until_blocked(conn: Conn, sessions: int = 1) -> None:
    """Return once that many other sessions wait for locks of PostgreSQL's."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        blocked = conn.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).rowcount
        if blocked >= sessions:
            return
        time.sleep(0.01)
    raise AssertionError(f"fewer than {sessions} connections wait for a lock")


class Rendezvous:
    """A point where two threads meet. Where something should hold one of them back, say for how many seconds."""

    def __init__(self, patience: float = DEADLINE_SECONDS) -> None:
        self._barrier = Barrier(2)
        self._patience = patience

    def wait(self) -> None:
        with suppress(BrokenBarrierError):
            self._barrier.wait(self._patience)
