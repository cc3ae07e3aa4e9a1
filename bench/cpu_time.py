"""The CPU time of processes, which hardly depends on what else the machine does."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

import psutil


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return the CPU time of these processes and of their children, also of those that have ended."""
    total = 0.0
    for process in [*chain.from_iterable(process.children(recursive=True) for process in processes), *processes]:
        # A child that has ended counts in its parent, which is read after it.
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total
