"""Directories for a backup while it is written or read. Those of crashed processes are removed by the next process."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.backup.errors import BackupError

ABANDONED_SECONDS = 86_400
"""Nothing is written to a backup for so long, unless its process has crashed."""
START_SECONDS = 60
"""A new directory may be this old before its process has locked it."""


@contextmanager
def private_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new directory, which is removed afterwards. First remove those of processes that crashed.

    A process locks its directory: the lock ends with it.
    """
    for path in parent.glob(f"{prefix}*"):
        if is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
    try:
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise BackupError(f"The directory {parent} failed: {error.strerror}.") from error
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        # A file system without locks: the age decides.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield directory
    finally:
        os.close(descriptor)
        shutil.rmtree(directory, ignore_errors=True)


def is_abandoned(directory: Path) -> bool:
    """Return whether the process of this directory has ended. False for the directory of another user."""
    try:
        if directory.lstat().st_uid != os.getuid():
            return False
        age = time.time() - max(path.lstat().st_mtime for path in [directory, *directory.rglob("*")])
        # Its process may be about to lock it.
        if age <= START_SECONDS:
            return False
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return age > ABANDONED_SECONDS
    finally:
        os.close(descriptor)
    return True
