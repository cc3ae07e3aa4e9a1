"""Values that a process creates once, on first use: after its fork, and only if needed."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class per_process(Generic[T]):  # noqa: N801 - a decorator
    """Make a function without arguments return one value for the whole process.

    With `functools.cache`, concurrent threads could create one each.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []
        self.__doc__ = make.__doc__

    def __call__(self) -> T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def peek(self) -> T | None:
        """Return the value, or None if it was not created yet."""
        return next(iter(self._made), None)

    def reset(self) -> T | None:
        """Remove the value, and return it if there was one."""
        with self._lock:
            return self._made.pop() if self._made else None
