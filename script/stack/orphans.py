"""What a killed run left behind.

A pid alone proves nothing: it may have been given to another process since. So everything the supervisor starts
carries the data directory in its environment, children of children included. Only processes with this one are stopped.
(The stores overwrite their environment for their process titles; each recognises its own in its own way.)
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MARK = "WAYMARK_SUPERVISOR_DATA"
"""The environment variable with the data directory of the supervisor that started a process."""


def stop_orphans(data: Path, grace: float = 10.0) -> int:
    """End every process that a supervisor on `data` started and did not stop; how many there were.

    Only to be called by who holds the lock on `data`: no supervisor of it is alive then.
    """
    ours = [process for process in psutil.process_iter() if _belongs_to(process, data)]
    leaders = [process for process in ours if process.pid == _group(process)]
    # Leaders are asked and take their children along; a second SIGTERM would cut the children's work short.
    end(leaders, signal.SIGTERM, grace)
    end(ours, signal.SIGTERM, grace)
    return len(ours)


def end(processes: Sequence[psutil.Process], stop_signal: signal.Signals, grace: float = 10.0) -> None:
    """Ask, wait, force. psutil compares start times, so a pid that changed hands is not signalled."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(stop_signal)
    for process in _still_running(processes, grace):
        with suppress(psutil.Error):
            process.kill()
    _still_running(processes, grace)


def _still_running(processes: Sequence[psutil.Process], grace: float) -> list[psutil.Process]:
    """Those that did not end within `grace` seconds. A zombie did: whose child it was may never collect it, as in a
    container without an init."""
    deadline = time.monotonic() + grace
    while (running := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _belongs_to(process: psutil.Process, data: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == str(data)
    except (psutil.Error, OSError):
        return False


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except OSError:
        return None
