"""Heartbeats: files whose age shows whether the loops of this process still run. Health checks read them."""

import os
import time
from pathlib import Path

from shared.infra import metrics_files
from shared.settings import settings

INTERVAL_SECONDS = 1.0
LIMIT_SECONDS = 60.0
"""A loop whose last heartbeat is older has stopped. The longest wait of a loop is a few seconds."""


def _directories() -> list[Path]:
    """Return the directory that only this process type uses, if it serves METRICS_PORT, and HEARTBEAT_DIR, if set."""
    return [path for path in (metrics_files.heartbeats(), settings().heartbeat_dir) if path is not None]


def stale_heartbeats(limit_seconds: float = LIMIT_SECONDS) -> list[str]:
    """Return the names of the loops whose last heartbeat is older than the limit, in alphabetical order.

    A name ends with the process id, as in `worker-scans-17`. Before the first heartbeat, the directory counts as one:
    a process that never starts a loop is stale, too. Raise LookupError if heartbeats are not written.
    """
    directory = next(iter(_directories()), None)
    if directory is None:
        raise LookupError("HEARTBEAT_DIR is not set")
    beats = sorted(directory.iterdir()) or [directory]
    return [beat.name for beat in beats if time.time() - beat.stat().st_mtime > limit_seconds]


class Heartbeat:
    """The heartbeat of one loop of this process: a file in each directory for heartbeats, if there is one."""

    def __init__(self, name: str) -> None:
        self._files = [directory / f"{name}-{os.getpid()}" for directory in _directories()]
        self._next = 0.0

    def beat(self) -> None:
        """Record that the loop runs. Touches the files at most once a second."""
        if self._files and time.monotonic() >= self._next:
            self._next = time.monotonic() + INTERVAL_SECONDS
            for file in self._files:
                file.touch()
