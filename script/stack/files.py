"""Files that only their owner reads, replaced whole."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


def private_directory(path: Path) -> None:
    """Make `path` for this user alone. The permissions of one that exists do not change."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def passable_directory(path: Path) -> None:
    """Like `private_directory`, but root lets others pass through, who still list and read nothing: the unprivileged
    account that runs PostgreSQL has a directory of its own inside."""
    if not path.exists():
        private_directory(path)
        _let_others_through(path)


@contextmanager
def temporary_directory(prefix: str) -> Iterator[Path]:
    """A `passable_directory` for as long as the context lasts."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        _let_others_through(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to, readable to this user alone, because it quotes statements and data."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _let_others_through(path: Path) -> None:
    if os.geteuid() == 0:
        path.chmod(0o711)


def write_private(path: Path, text: str) -> None:
    """Mode 0600 from its first moment, and there whole or not at all: a reader or a crash never meets half a file."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def kept_secret(path: Path) -> str:
    """The secret in `path`, made at first use: 32 random bytes, as hex so that it fits any URL or configuration."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text().strip()
