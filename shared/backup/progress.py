"""Reports of long operations: each step begins with a sentence, because it may take hours."""

from collections.abc import Callable

Report = Callable[[str], object]


def ignore(_sentence: str) -> None:
    """Report nothing."""
