"""A concurrency limiter: a few requests run at a time, and the others wait in a queue without a thread.

Waiting threads cost nothing, but running threads contend for the interpreter. Whenever one releases it, which each
socket operation does, another wakes up, mostly in vain. See docs/decisions/0030.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
SERIALIZED_ROUTES = "serialized_routes"
"""Key of a Flask application's extensions: the set of (method, path) pairs whose requests run one at a time."""
PERMIT_SECONDS = 0.1
"""After this time a permit expires: its request no longer computes, it waits for a store, a client or a verdict."""

_current = threading.local()


class Permit:
    """The right of one request to run, until it ends or is known to wait. As a context, the permit of this thread."""

    def __init__(self, limiter: "ConcurrencyLimiter[Any]") -> None:
        self.limiter = limiter
        self.is_held = True
        self.expires_at = time.monotonic() + PERMIT_SECONDS

    def __enter__(self) -> None:
        _current.permit = self

    def __exit__(self, *_: object) -> None:
        _current.permit = None


def release_permit() -> None:
    """Release the permit of this thread, which is about to wait. Does nothing without a limiter."""
    permit: Permit | None = getattr(_current, "permit", None)
    if permit is not None:
        permit.limiter.release(permit)


class ConcurrencyLimiter(Generic[T]):
    """A queue whose items start when one of `limit` permits is free.

    `start(item, permit)` is called by the thread that submitted the item or released the permit.
    """

    def __init__(self, limit: int, start: Callable[[T, Permit], None]) -> None:
        self._free, self._start = limit, start
        self._queue: deque[T] = deque()
        self._permits: deque[Permit] = deque()
        self._lock = threading.Lock()

    def submit(self, item: T) -> None:
        """Start the item now, or when a permit is free."""
        with self._lock:
            self._queue.append(item)
        self._start_next()

    def release(self, permit: Permit) -> None:
        """End the permit, and start the next item. A second call does nothing."""
        with self._lock:
            self._release(permit)
        self._start_next()

    def release_and_take_next(self, permit: Permit) -> tuple[T, Permit] | None:
        """End the permit, and return the next item with its permit, for the same thread. None if the queue is empty."""
        with self._lock:
            self._release(permit)
            return self._take_next()

    def expire_permits(self) -> float | None:
        """End the permits that were held for too long.

        Return the seconds until the next one expires, or None if no item waits for it.
        """
        now = time.monotonic()
        with self._lock:
            while self._permits and (self._permits[0].expires_at <= now or not self._permits[0].is_held):
                self._release(self._permits.popleft())
        self._start_next()
        with self._lock:
            return max(0.0, self._permits[0].expires_at - now) if self._queue and self._permits else None

    def _release(self, permit: Permit) -> None:
        if permit.is_held:
            permit.is_held = False
            self._free += 1

    def _take_next(self) -> tuple[T, Permit] | None:
        if not self._queue or self._free <= 0:
            return None
        self._free -= 1
        permit = Permit(self)
        self._permits.append(permit)
        return self._queue.popleft(), permit

    def _start_next(self) -> None:
        while True:
            with self._lock:
                taken = self._take_next()
            if taken is None:
                return
            self._start(*taken)
