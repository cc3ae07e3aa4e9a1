"""The interface of a storage for files.

A name is made of lower-case letters, digits, `-`, `.` and `/`. A file appears whole or not at all, and is never
changed: who wants other bytes writes another name.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*(\.[a-z0-9]+)?")
BLOCK_SIZE = 256 * 1024
"""Bytes that are read and written at a time, so that memory stays flat."""


class StorageError(Exception):
    """The storage could not do what was asked; the message is fit for staff. It may work when it is tried again."""


class StorageFull(StorageError):
    """There is no room left for files."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class FileMissing(StorageError):
    """There is no file of this name."""


class Writer(Protocol):
    """An open file that no reader sees yet."""

    def write(self, data: bytes, /) -> object: ...


class Closable(Protocol):
    def close(self) -> object: ...


class StoredFile(NamedTuple):
    """A file by its name, and when it was written."""

    name: str
    at: datetime


class Blocks(Iterator[bytes]):
    """An open file, block by block; at its end it is closed. Who leaves earlier closes it: a generator that was never
    begun would not."""

    def __init__(self, blocks: Iterator[bytes], file: Closable) -> None:
        self._blocks, self._file = blocks, file

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        self._file.close()


class Storage(Protocol):
    """What both kinds can do. Everything raises StorageError where the storage fails."""

    def write(self, name: str) -> AbstractContextManager[Writer]:
        """A new file. It is there, and durable, once the context is left in order; else there is nothing of it."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Blocks:
        """The bytes from `start` to before `stop`, in blocks. Raises FileMissing, at once."""

    def size(self, name: str) -> int:
        """How many bytes it has. Raises FileMissing."""

    def delete(self, name: str) -> None:
        """Remove the file, if there is one."""

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        """Every file whose name begins like this, in no order. `prefix` ends in `/`."""

    def purge_drafts(self, before: datetime) -> int:
        """Remove what is left of files that were begun before then and never finished. Returns how many."""


def check_name(name: str) -> None:
    """Raises ValueError for a name that could lead out of the storage."""
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"not the name of a file: {name!r}")
