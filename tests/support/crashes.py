"""Crashes at a given point of the code under test."""

from types import ModuleType
from typing import Any

import pytest


class Crash(BaseException):
    """The process dies here: no handler of exceptions runs."""


def crash_after(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
    """Let a function of a module raise Crash once it has done its work."""
    work = getattr(module, name)

    def crash(*args: Any, **options: Any) -> None:
        work(*args, **options)
        raise Crash

    monkeypatch.setattr(module, name, crash)
