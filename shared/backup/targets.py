"""The places of backups: a directory, or a bucket of S3 or a compatible service.

A backup is a directory of files. It appears whole, or not at all: in a directory by a rename, in a bucket by its
manifest, which is written last and deleted first.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from shared.backup.errors import BackupDamaged, BackupError
from shared.backup.manifest import MANIFEST, Manifest, parse, read
from shared.infra.storage.base import BLOCK_SIZE, Storage, is_name
from shared.settings import settings

NAME_PATTERN = re.compile(r"waymark-[0-9]{8}t[0-9]{6}z-[0-9a-f]{4}")
DRAFT_PREFIX = ".draft-"
DRAFT_SECONDS = 86_400
"""The drafts of crashed processes are older."""


class Target(Protocol):
    """A place of backups. Its methods raise BackupError or StorageError."""

    def names(self) -> list[str]:
        """Return the names of the complete backups, oldest first."""

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of a complete backup."""

    def draft(self) -> Path:
        """Create a private directory for a new backup."""

    def publish(self, draft: Path, name: str) -> None:
        """Make the draft a complete backup."""

    def discard(self, draft: Path) -> None:
        """Remove what is left of a draft."""

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        """Yield a directory with the files of a backup. Raise BackupError if there is no such backup."""

    def delete(self, name: str) -> None:
        """Delete a backup."""


class DirectoryTarget:
    """Backups below a directory, readable by their owner only."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        with _translate_errors():
            return sorted(
                path.name
                for path in (self._root.iterdir() if self._root.exists() else ())
                if NAME_PATTERN.fullmatch(path.name) and (path / MANIFEST).exists()
            )

    def manifest(self, name: str) -> Manifest:
        return read(self._root / name)

    def draft(self) -> Path:
        with _translate_errors():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._root.glob(f"{DRAFT_PREFIX}*"):
                newest = max((file.stat().st_mtime for file in [path, *path.rglob("*")]), default=0)
                if newest < time.time() - DRAFT_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
            return Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=self._root))

    def publish(self, draft: Path, name: str) -> None:
        with _translate_errors():
            _sync(draft)
            draft.rename(self._root / name)
            _sync(self._root)

    def discard(self, draft: Path) -> None:
        shutil.rmtree(draft, ignore_errors=True)

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        if not (self._root / name).is_dir():
            raise BackupError(f"{self._root} has no backup {name}.")
        yield self._root / name

    def delete(self, name: str) -> None:
        with _translate_errors():
            (self._root / name / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(self._root / name)


class BucketTarget:
    """Backups in a bucket, below a prefix. A temporary directory holds one of them while it is written or read."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix

    def names(self) -> list[str]:
        found = (file.name.removeprefix(self._prefix) for file in self._storage.list_files(self._prefix))
        return sorted(
            name
            for path in found
            if path.endswith(f"/{MANIFEST}") and NAME_PATTERN.fullmatch(name := path.removesuffix(f"/{MANIFEST}"))
        )

    def manifest(self, name: str) -> Manifest:
        return parse(b"".join(self._storage.read(f"{self._prefix}{name}/{MANIFEST}")), name)

    def draft(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="waymark-backup-"))

    def publish(self, draft: Path, name: str) -> None:
        paths = [path for path in sorted(draft.rglob("*")) if path.is_file() and path.name != MANIFEST]
        for path in (*paths, draft / MANIFEST):
            at = f"{self._prefix}{name}/{path.relative_to(draft).as_posix()}"
            with path.open("rb") as file, self._storage.write(at) as writer:
                while block := file.read(BLOCK_SIZE):
                    writer.write(block)
        self.discard(draft)

    def discard(self, draft: Path) -> None:
        shutil.rmtree(draft, ignore_errors=True)

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="waymark-backup-") as directory:
            copy = Path(directory, name)
            root = f"{self._prefix}{name}/"
            for stored, _ in self._storage.list_files(root):
                # Other users of the bucket choose names, too: none may lead out of the directory.
                if not is_name(stored):
                    raise BackupDamaged(f"The bucket has a file that is not of a backup: {stored!r}.")
                path = copy / stored.removeprefix(root)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    for block in self._storage.read(stored):
                        file.write(block)
            if not copy.exists():
                raise BackupError(f"The bucket has no backup {name}.")
            yield copy

    def delete(self, name: str) -> None:
        root = f"{self._prefix}{name}/"
        self._storage.delete(f"{root}{MANIFEST}")
        for stored, _ in list(self._storage.list_files(root)):
            self._storage.delete(stored)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"The directory of backups failed: {error.strerror}: {error.filename}.") from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def target_of(place: str) -> Target:
    """Return the target at a directory or at `s3://bucket/prefix`. Raise BackupError for another URL."""
    if not place.startswith("s3://"):
        if "://" in place or not place:
            raise BackupError("Use a directory, or s3://bucket/prefix.")
        return DirectoryTarget(Path(place))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    if not is_name(f"{prefix}x"):
        raise BackupError("Use lower-case letters, digits and - in the prefix of s3://bucket/prefix.")
    # boto3 is large: only a process that uses a bucket loads it.
    from shared.infra.storage.s3 import S3Storage  # noqa: PLC0415

    return BucketTarget(S3Storage.from_settings(settings(), bucket), prefix)
