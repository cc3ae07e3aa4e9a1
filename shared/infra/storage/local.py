"""Files in a directory. A draft is written in another directory, synced and renamed, so a file is always whole.

A web process reads files in native threads: a disk on the network can take seconds.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from shared.infra.event_loop import run_in_thread
from shared.infra.storage.base import (
    BLOCK_SIZE,
    ERRORS,
    Blocks,
    FileMissing,
    Operation,
    StorageError,
    StorageFull,
    StoredFile,
    check_name,
)

DRAFTS = "drafts"
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalStorage:
    """The files below one directory, which web and workers share."""

    def __init__(self, root: Path) -> None:
        self._files = root / "kept"
        self._drafts = root / DRAFTS

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        path = self._path(name)
        draft = self._drafts / uuid4().hex
        with _translate_errors("write"):
            self._drafts.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _translate_errors("write"), draft.open("xb", buffering=BLOCK_SIZE) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            with _translate_errors("write"):
                self._rename(draft, path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise

    @staticmethod
    def _rename(draft: Path, path: Path) -> None:
        try:
            draft.rename(path)
        except FileNotFoundError:  # the empty directory was deleted meanwhile
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Blocks:
        with _translate_errors("read"):
            path = self._path(name)
            file = run_in_thread(lambda: path.open("rb", buffering=0))
        return Blocks(_blocks(file, start, stop), file)

    def size(self, name: str) -> int:
        with _translate_errors("size"):
            return run_in_thread(self._path(name).stat).st_size

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _translate_errors("delete"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            # Fails if the directory is not empty.
            path.parent.rmdir()

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        check_name(prefix + "x")
        for folder, _, names in os.walk(self._files / prefix):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    yield StoredFile(path.relative_to(self._files).as_posix(), at)

    def purge_drafts(self, before: datetime) -> int:
        deleted = 0
        with _translate_errors("purge"):
            for path in self._drafts.iterdir() if self._drafts.exists() else ():
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before.timestamp():
                        path.unlink()
                        deleted += 1
        return deleted

    def _path(self, name: str) -> Path:
        check_name(name)
        return self._files / name


@contextmanager
def _translate_errors(operation: Operation) -> Iterator[None]:
    """Raise errors of the disk as StorageError, without paths of the server."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileMissing("The file does not exist.") from error
    except OSError as error:
        ERRORS.labels(operation).inc()
        if error.errno in DISK_FULL_ERRNOS:
            raise StorageFull from error
        raise StorageError(f"The storage for files failed: {error.strerror}.") from error


def _blocks(file: BinaryIO, start: int, stop: int | None) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = None if stop is None else stop - start
        while left is None or left > 0:
            with _translate_errors("read"):
                block = run_in_thread(partial(file.read, BLOCK_SIZE if left is None else min(BLOCK_SIZE, left)))
            if not block:
                return
            if left is not None:
                left -= len(block)
            yield block
