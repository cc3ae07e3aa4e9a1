"""CPU work beside gevent's event loop, on which a web process serves all its requests.

Every other request waits for the work that a request does on the loop. So work of more than five milliseconds runs in a
native thread, where it must not use PostgreSQL or Redis, or it yields. Files are read in native threads, too. Other
processes do it in the calling thread.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from shared.infra.per_process import per_process

T = TypeVar("T")
WORK_SECONDS = 0.003
"""Work on the event loop until it serves other requests."""
NICENESS = 15
"""Added to the niceness of a background thread."""


def runs_on_gevent() -> bool:
    """Return whether gevent has patched this process, as in a web process of gunicorn."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")


def run_in_thread(work: Callable[[], T]) -> T:
    """Return the result of the work. The event loop serves other requests meanwhile."""
    return _run(lambda run: _foreground().apply(run), work) if runs_on_gevent() else work()


def run_in_background_thread(work: Callable[[], T]) -> T:
    """Return the result of the work, computed at a low priority on Linux."""
    return _run(lambda run: _background().apply(_at_low_priority, (run,)), work) if runs_on_gevent() else work()


def _run(in_thread: Callable[[Callable[[], None]], Any], work: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    # gevent prints a traceback for each error that leaves a thread, also for a request that is merely invalid.
    in_thread(run)
    if errors:
        raise errors.pop()
    return results.pop()


def yielding(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and let the event loop serve other requests whenever 3 ms have passed."""
    until = time.monotonic() + WORK_SECONDS
    for item in items:
        if time.monotonic() > until:
            time.sleep(0)
            until = time.monotonic() + WORK_SECONDS
        yield item


@per_process
def _foreground() -> Any:
    return _pool()


@per_process
def _background() -> Any:
    return _pool()


def _pool() -> Any:
    from gevent.threadpool import ThreadPool  # noqa: PLC0415 - only web processes have gevent

    return ThreadPool(os.cpu_count() or 1)


def _at_low_priority(work: Callable[[], T]) -> T:
    # Linux has a priority for each thread, and 0 is the calling one (setpriority(2), NOTES). A sandbox can forbid it.
    if sys.platform == "linux":
        with suppress(OSError):
            niceness = os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICENESS
            os.setpriority(os.PRIO_PROCESS, 0, min(19, niceness))
    return work()
