"""The terminal, shared by all processes: each line under the name of the process that wrote it."""

from __future__ import annotations

import os
import queue
import sys
import threading
from contextlib import suppress
from itertools import cycle

COLORS = (36, 33, 32, 35, 34, 31)
WIDTH = 9  # of "scheduler", the longest usual name


class Console:
    """Writes lines from a thread, and drops lines instead of waiting.

    A halted terminal (Ctrl-S) or a pipe without a reader must not block the supervisor.
    """

    def __init__(self) -> None:
        self._colors = cycle(COLORS) if sys.stdout.isatty() and "NO_COLOR" not in os.environ else None
        self._prefixes: dict[str, bytes] = {}
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=10_000)
        self._writer = threading.Thread(target=self._write, name="console", daemon=True)
        self._writer.start()

    def line(self, name: str, line: bytes) -> None:
        self._put(self._prefix(name) + line)

    def say(self, text: str) -> None:
        """A line of the supervisor's own, without a prefix."""
        self._put(text.encode())

    def close(self) -> None:
        """Let the writer finish, if the terminal lets it."""
        self._put(None)
        self._writer.join(timeout=2)

    def _prefix(self, name: str) -> bytes:
        if name not in self._prefixes:
            prefix = f"{name:<{WIDTH}} | "
            self._prefixes[name] = (f"\x1b[{next(self._colors)}m{prefix}\x1b[0m" if self._colors else prefix).encode()
        return self._prefixes[name]

    def _put(self, line: bytes | None) -> None:
        with suppress(queue.Full):
            self._lines.put_nowait(line)

    def _write(self) -> None:
        descriptor = sys.stdout.fileno()
        while (line := self._lines.get()) is not None:
            rest = line + b"\n"
            try:
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            except OSError:
                return  # the terminal is closed; the processes continue
