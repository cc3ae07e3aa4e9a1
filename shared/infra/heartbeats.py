"""Heartbeats: files whose age shows whether the loops of this process still run. Health checks read them."""

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path

from shared.settings import settings

INTERVAL_SECONDS = 1.0
LIMIT_SECONDS = 60.0
"""A loop whose last heartbeat is older has stopped. The longest wait of a loop is a few seconds."""

_own_directory: list[Path] = []
"""Empty, or the directory that only this process and its forks use."""


def _directory() -> Path | None:
    return _own_directory[0] if _own_directory else settings().heartbeat_dir


def use_own_directory() -> None:
    """Write the heartbeats of this process and its forks to a directory of their own, inside HEARTBEAT_DIR if set.

    Call it before the first loop and the first fork. Files of an earlier process then do not count as this one's.
    """
    directory = Path(tempfile.mkdtemp(prefix="heartbeats-", dir=settings().heartbeat_dir))
    _own_directory[:] = [directory]
    atexit.register(_remove, directory, os.getpid())


def _remove(directory: Path, pid: int) -> None:
    # A fork runs the exit handlers of its parent, too.
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)


def stale_heartbeats(limit_seconds: float = LIMIT_SECONDS) -> list[str]:
    """Return the names of the loops whose last heartbeat is older than the limit, in alphabetical order.

    A name ends with the process id, as in `worker-scans-17`. Before the first heartbeat, the directory counts as one:
    a process that never starts a loop is stale, too. Raise LookupError if heartbeats are not written.
    """
    directory = _directory()
    if directory is None:
        raise LookupError("HEARTBEAT_DIR is not set")
    beats = sorted(directory.iterdir()) or [directory]
    return [beat.name for beat in beats if time.time() - beat.stat().st_mtime > limit_seconds]


class Heartbeat:
    """The heartbeat of one loop of this process: a file in HEARTBEAT_DIR, or nothing if that is not set."""

    def __init__(self, name: str) -> None:
        directory = _directory()
        self._file = directory / f"{name}-{os.getpid()}" if directory else None
        self._next = 0.0

    def beat(self) -> None:
        """Record that the loop runs. Touches the file at most once a second."""
        if self._file is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + INTERVAL_SECONDS
            self._file.touch()
