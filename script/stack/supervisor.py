"""Run processes, and restart one that exits, as a platform would.

No library does what is needed here. supervisor 4 has no release step and no prefixes of log lines, and leaves its
children running when it is killed. honcho stops everything when one process ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from script.stack.files import write_private
from script.stack.process import Command, kill_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from script.stack.console import Console

FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
SETTLED_AFTER = 10.0
"""Seconds. Something that ran this long and died starts over at the first delay."""

LONGEST_LINE = 64 * 1024


class Supervisor:
    """Owns child processes. Everything happens on one event loop in the main thread, for the kernel ties a child's
    leash (see `parent_death.py`) to the thread that started it."""

    def __init__(self, console: Console, pid_file: Path):
        self._console = console
        self._pid_file = pid_file
        self._pids: dict[str, int] = {"supervisor": os.getpid()}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, name: str, command: Command) -> int:
        """Run a command once and return its exit status. If canceled, stop the command."""
        output, ended = await self._attach(name)
        try:
            process = await asyncio.create_subprocess_exec(
                *command.leashed(),
                cwd=command.directory,
                env=command.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.close(output)
        try:
            self._record(name, process.pid)
            return await process.wait()
        finally:
            await self._end(name, command, process)
            # What the process wrote last is worth reading, but a grandchild may hold the pipe open forever.
            await asyncio.wait([ended], timeout=1)

    def keep(self, name: str, command: Command, prepare: Callable[[], None] | None = None) -> None:
        """Run a command from now on, starting it again whenever it ends. `prepare` precedes each start."""
        self._tasks[name] = asyncio.create_task(self._keep(name, command, prepare), name=name)

    async def stop(self, names: Iterable[str]) -> None:
        """Stop these, all at once, each in the time its command allows."""
        tasks = [self._tasks.pop(name) for name in list(names) if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self) -> None:
        """Remove the list of pids, everything being stopped."""
        self._pid_file.unlink(missing_ok=True)

    @property
    def running(self) -> set[str]:
        return set(self._tasks)

    async def _keep(self, name: str, command: Command, prepare: Callable[[], None] | None) -> None:
        delay = FIRST_DELAY
        while True:
            started = time.monotonic()
            try:
                if prepare:
                    await asyncio.to_thread(prepare)
                outcome = _told(await self.run(name, command))
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and this one is tried again
                outcome = f"could not be started ({error})"
            if time.monotonic() - started > SETTLED_AFTER:
                delay = FIRST_DELAY
            self._console.line(name, f"{outcome}; starting again in {delay:.1f} s".encode())
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _end(self, name: str, command: Command, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, command.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), command.stop_within)
            except TimeoutError:
                self._console.line(name, f"did not stop within {command.stop_within:.0f} s; killed".encode())
        kill_group(process.pid)
        await process.wait()
        self._record(name, None)

    async def _attach(self, name: str) -> tuple[int, asyncio.Future[None]]:
        """A pipe whose lines go to the console; its end to write to, and a future for when all of those are closed."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        reading, writing = os.pipe()
        await loop.connect_read_pipe(lambda: _Lines(self._console, name, ended), os.fdopen(reading, "rb", 0))
        return writing, ended

    def _record(self, name: str, pid: int | None) -> None:
        if pid is None:
            self._pids.pop(name, None)
        else:
            self._pids[name] = pid
        write_private(self._pid_file, json.dumps(self._pids) + "\n")


class _Lines(asyncio.Protocol):
    """Cuts what a pipe brings into lines. asyncio's own reader raises when a line is longer than its limit."""

    def __init__(self, console: Console, name: str, ended: asyncio.Future[None]):
        self._console = console
        self._name = name
        self._ended = ended
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._console.line(self._name, line)

    def connection_lost(self, _: Exception | None) -> None:
        if self._rest:
            self._console.line(self._name, self._rest)
        if not self._ended.done():
            self._ended.set_result(None)


def _told(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
