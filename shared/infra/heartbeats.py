"""Heartbeats: files whose age shows whether the loops of this process still run. Container health checks read them."""

import os
import time

from shared.settings import settings

INTERVAL_SECONDS = 1.0


class Heartbeat:
    """The heartbeat of one loop of this process: a file in HEARTBEAT_DIR, or nothing if that is not set."""

    def __init__(self, name: str) -> None:
        directory = settings().heartbeat_dir
        self._file = directory / f"{name}-{os.getpid()}" if directory else None
        self._next = 0.0

    def beat(self) -> None:
        """Record that the loop runs. Touches the file at most once a second."""
        if self._file is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + INTERVAL_SECONDS
            self._file.touch()
