"""The interface of a storage for files.

A name has lower-case letters, digits, `-`, `.` and `/`. A file appears whole or not at all, and never changes: other
content gets another name.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, get_args

from shared.infra.metrics import Counter

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*(\.[a-z0-9]+)*")
ERRORS = Counter(
    "waymark_storage_errors_total",
    "Failed operations of the storage for files, by operation. A missing file is not a failure.",
    ("operation",),
)
Operation = Literal["write", "read", "size", "delete", "list", "purge"]
for operation in get_args(Operation):
    ERRORS.labels(operation)  # so that each exists before its first error, which `increase` would not see otherwise
BLOCK_SIZE = 256 * 1024
"""Bytes per read and write, so that memory use is constant."""


class StorageError(Exception):
    """The storage failed. The message is safe to show to staff, and a retry may succeed."""


class StorageFull(StorageError):
    """The storage for files is full."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class FileMissing(StorageError):
    """The file does not exist."""


class Writer(Protocol):
    """An open file that is not visible to readers yet."""

    def write(self, data: bytes, /) -> object: ...


class Closable(Protocol):
    def close(self) -> object: ...


class StoredFile(NamedTuple):
    """The name of a file, and the time at which it was written."""

    name: str
    at: datetime


class Blocks(Iterator[bytes]):
    """The blocks of an open file, which is closed at the end. A caller that stops earlier must call `close`."""

    # Not a generator: closing one that was never started would not close the file.

    def __init__(self, blocks: Iterator[bytes], file: Closable) -> None:
        self._blocks, self._file = blocks, file

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        self._file.close()


class Storage(Protocol):
    """The operations of a storage. Each raises StorageError if the storage fails."""

    def write(self, name: str) -> AbstractContextManager[Writer]:
        """Create a file. It exists, durably, once the context ends without an exception; otherwise nothing remains."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Blocks:
        """Return the bytes from `start` to before `stop`, in blocks. Raises FileMissing before the first block."""

    def size(self, name: str) -> int:
        """Return the size in bytes. Raises FileMissing."""

    def delete(self, name: str) -> None:
        """Delete the file, if it exists."""

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        """Yield every file whose name starts with `prefix`, in no order. `prefix` ends in `/`."""

    def purge_drafts(self, before: datetime) -> int:
        """Delete unfinished files that were started before then. Return their number."""


def is_name(name: str) -> bool:
    """Return whether this is a name, which cannot lead out of the storage."""
    return NAME_PATTERN.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Raise ValueError for a name that could lead out of the storage."""
    if not is_name(name):
        raise ValueError(f"not a file name: {name!r}")
