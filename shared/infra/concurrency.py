"""Turns: a few requests run at once, the others wait where they hold no thread.

Threads that wait cost nothing, but threads that run contend for the interpreter: whenever one lets go of it, and each
look at a socket does, another wakes up, mostly in vain. See docs/decisions/0030.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
SERIALIZED_ROUTES = "crowds"
"""Under this name a Flask application's extensions hold the routes that crowds come to: pairs of method and path."""
PERMIT_SECONDS = 0.1
"""How long a turn keeps the next one waiting: by then its request runs no more, it waits for something or somebody."""

_mine = threading.local()


class Permit:
    """One request's, from its start to its end, or to the moment from which on it is known to wait. As a context it is
    the turn of what this thread does."""

    def __init__(self, turns: "ConcurrencyLimiter[Any]") -> None:
        self.turns = turns
        self.is_held = True
        self.expires_at = time.monotonic() + PERMIT_SECONDS

    def __enter__(self) -> None:
        _mine.turn = self

    def __exit__(self, *_: object) -> None:
        _mine.turn = None


def release_permit() -> None:
    """What this thread does is about to wait: another may run meanwhile. Where nothing takes turns it does nothing."""
    turn: Permit | None = getattr(_mine, "turn", None)
    if turn is not None:
        turn.turns.release(turn)


class ConcurrencyLimiter(Generic[T]):
    """A line, and so many at once out of it. `start` is called with whoever's turn it is, by the thread that made
    room."""

    def __init__(self, at_once: int, start: Callable[[T, Permit], None]) -> None:
        self._free, self._start = at_once, start
        self._line: deque[T] = deque()
        self._held: deque[Permit] = deque()
        self._lock = threading.Lock()

    def submit(self, who: T) -> None:
        """Start this one now, or when its turn comes."""
        with self._lock:
            self._line.append(who)
        self._go_on()

    def release(self, turn: Permit) -> None:
        """This turn is over: the next may start. Repeated, it does nothing."""
        with self._lock:
            self._release(turn)
        self._go_on()

    def release_and_take_next(self, turn: Permit) -> tuple[T, Permit] | None:
        """This turn is over: who is next, for the same thread to go on with."""
        with self._lock:
            self._release(turn)
            return self._next()

    def expire_permits(self) -> float | None:
        """End the turns that were held for too long. Returns the seconds until there may be another such, None while
        nobody waits for it."""
        now = time.monotonic()
        with self._lock:
            while self._held and (self._held[0].expires_at <= now or not self._held[0].is_held):
                self._release(self._held.popleft())
        self._go_on()
        with self._lock:
            return max(0.0, self._held[0].expires_at - now) if self._line and self._held else None

    def _release(self, turn: Permit) -> None:
        if turn.is_held:
            turn.is_held = False
            self._free += 1

    def _next(self) -> tuple[T, Permit] | None:
        if not self._line or self._free <= 0:
            return None
        self._free -= 1
        turn = Permit(self)
        self._held.append(turn)
        return self._line.popleft(), turn

    def _go_on(self) -> None:
        while True:
            with self._lock:
                found = self._next()
            if found is None:
                return
            self._start(*found)
