"""Time limits: a piece of work that hangs ends its process, as a crash would.

No Python code can interrupt a thread inside C, as in an image decoder. Such a thread may even hold the interpreter
lock, so that no other thread runs. The kernel's timer runs outside the interpreter: when it fires, faulthandler prints
the stack of every thread, and SIGALRM ends the process. The supervisor starts another, and the thread and its slot are
free. Setting the timer costs one system call, which each batch can afford.
The attempt was counted when the row was claimed, so a row that hangs three times is dead-lettered.
"""

import faulthandler
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
"""In a worker process of Dramatiq, `sys.stderr` is a pipe with a protocol."""
ACTOR_SECONDS = 900.0
"""For the actors that are not job loops. Their batches extend it."""


class TimeLimits:
    """The deadlines of the threads of one process. The timer is set to the earliest."""

    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}
        self._limits = threading.local()
        self._lock = threading.Lock()
        self._is_enabled = False

    def enable(self) -> None:
        """Enforce time limits from now on: in worker processes, but not in tests and commands."""
        faulthandler.register(signal.SIGALRM, file=STDERR, chain=True)
        self._is_enabled = True

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """End the process if this thread does not leave the block, or call `extend`, within this time."""
        self._limits.seconds = seconds
        self.extend()
        try:
            yield
        finally:
            del self._limits.seconds
            self._set(None)

    def extend(self) -> None:
        """Start the time limit of this thread anew: the work has made progress. Without a limit, do nothing."""
        seconds: float | None = getattr(self._limits, "seconds", None)
        if seconds is not None:
            self._set(time.monotonic() + seconds)

    def _set(self, deadline: float | None) -> None:
        if not self._is_enabled:
            return
        with self._lock:
            if deadline is None:
                self._deadlines.pop(threading.get_ident(), None)
            else:
                self._deadlines[threading.get_ident()] = deadline
            left = max(min(self._deadlines.values()) - time.monotonic(), 0.001) if self._deadlines else 0
            signal.setitimer(signal.ITIMER_REAL, left)


time_limits = TimeLimits()
