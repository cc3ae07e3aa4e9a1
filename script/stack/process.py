"""A command to run: what, as whom, and how to end it."""

from __future__ import annotations

import os
import pwd
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LEASH = Path(__file__).with_name("parent_death.py")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the system to run as; only root can become another."""

    uid: int
    gid: int

    @classmethod
    def nobody(cls) -> Account:
        entry = pwd.getpwnam("nobody")
        return cls(entry.pw_uid, entry.pw_gid)

    @classmethod
    def owner_of(cls, path: Path) -> Account:
        status = path.stat()
        return cls(status.st_uid, status.st_gid)


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `stop_signal` asks it to stop within `stop_within` seconds, and is also sent when its parent dies."""

    argv: tuple[str, ...]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 10.0
    account: Account | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    directory: Path = Path("/")

    def leashed(self) -> list[str]:
        """The argv that runs this command as a child of the calling process, and no longer than that."""
        account = f"{self.account.uid}:{self.account.gid}" if self.account else "-"
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(self.stop_signal)), account]
        return [*leash, *self.argv]


def kill_group(leader: int) -> None:
    """SIGKILL what is left of the process group that `leader` was started with."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
