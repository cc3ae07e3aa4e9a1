"""Waiting for what will happen, instead of sleeping for as long as it usually takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


def eventually(attempt: Callable[[], T], within: float = 60.0) -> T:
    """What `attempt()` returns once that is true. Generous: it bounds a failure, and asserts no speed."""
    deadline = time.monotonic() + within
    while not (value := attempt()):
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {attempt}"
        time.sleep(0.02)
    return value


def have_exited(pids: Iterable[int]) -> bool:
    """True if none of them runs. A zombie counts as exited."""
    return not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
