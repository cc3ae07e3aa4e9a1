"""The directory of a process type, for heartbeats and metrics.

The processes of web and of a worker store their metrics in files there, and one of them serves the sums.

This module does not import prometheus_client, which reads MULTIPROCESS_VARIABLE when it is first imported.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from shared.settings import SettingsError, settings

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DIRECTORY_VARIABLE = "WAYMARK_PROCESS_DIRECTORY"
"""The directory of this process and of its children. Not a setting: a process sets it for itself."""
HEARTBEATS = "heartbeats"
NAME = re.compile(r"[a-z]+-(?P<leader>[0-9]+)-(?P<start>[1-9][0-9]*)")


def create(process: str, leader: int, *, is_shared: bool) -> Path:
    """Create the directory of a process type, and remove those of leaders that have ended. Return its path.

    `leader` is the process that the platform started: this one or its parent. `is_shared` is true if several processes
    write metrics, so that prometheus_client must store them in files.
    """
    parent = settings().metrics_dir or _temporary_parent()
    path = parent / f"{process}-{leader}-{_start_time(leader)}"
    (path / HEARTBEATS).mkdir(parents=True, exist_ok=True)
    for other in parent.iterdir():
        if (name := NAME.fullmatch(other.name)) and _start_time(int(name["leader"])) != name["start"]:
            shutil.rmtree(other, ignore_errors=True)
    os.environ[DIRECTORY_VARIABLE] = str(path)
    if is_shared:
        os.environ[MULTIPROCESS_VARIABLE] = str(path)
    return path


def current() -> Path | None:
    """Return the directory of this process. None if it has no port for metrics."""
    path = os.environ.get(DIRECTORY_VARIABLE)
    return Path(path) if path else None


def heartbeats() -> Path | None:
    """Return the directory for the heartbeats of this process type. None if it has no port for metrics."""
    path = current()
    return path and path / HEARTBEATS


def remove() -> None:
    """Remove the directory when the leader ends."""
    if (path := current()) is not None:
        shutil.rmtree(path, ignore_errors=True)


def remove_live_gauges(pid: int) -> None:
    """Remove the gauges of a process that has ended, such as its open WebSockets. Its counters stay."""
    for file in (current() or Path()).glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)


def _start_time(pid: int) -> str:
    """Return when the process started, in ticks, so that a reused id is another process. "0" if it does not run.

    Other systems than Linux do not have this file. There, directories are neither distinguished nor removed.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return "0"


def _temporary_parent() -> Path:
    parent = Path(tempfile.gettempdir(), f"waymark-metrics-{os.getuid()}")
    parent.mkdir(mode=0o700, exist_ok=True)
    # Other users may write to the temporary directory, and could have created this one or a link before.
    status = parent.lstat()
    if parent.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SettingsError(f"METRICS_DIR: {parent} is open to other users. Remove it, or set another directory.")
    return parent
