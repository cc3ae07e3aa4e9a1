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
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from shared.backup.errors import BackupDamaged, BackupError
from shared.backup.manifest import MANIFEST, Manifest, parse, read
from shared.backup.private_directories import ABANDONED_SECONDS, private_directory
from shared.infra.storage.base import BLOCK_SIZE, Storage, StorageError, is_name
from shared.settings import settings

NAME_PATTERN = re.compile(r"waymark-[0-9]{8}t[0-9]{6}z-[0-9a-f]{4}")
"""Names in the order of the alphabet are in the order of time."""
DRAFT_PREFIX = ".draft-"
COPY_PREFIX = "waymark-backup-"


def name_prefix(at: datetime) -> str:
    """Return how the names of backups of this second begin."""
    return f"waymark-{at.astimezone(UTC):%Y%m%dt%H%M%Sz}"


class Target(Protocol):
    """A place of backups. Its methods raise BackupError or StorageError."""

    def names(self) -> list[str]:
        """Return the names of the complete backups, oldest first."""

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of a complete backup."""

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Yield a private directory for a new backup. Remove what is left of it afterwards."""

    def publish(self, draft: Path, name: str) -> None:
        """Make the draft a complete backup."""

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        """Yield a directory with the files of a backup. Raise BackupError if there is no such backup."""

    def delete(self, name: str) -> None:
        """Delete a backup."""

    def delete_incomplete(self) -> None:
        """Delete the rest of backups whose process crashed while it published or deleted them."""


class DirectoryTarget:
    """Backups below a directory, readable by their owner only."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        with _translate_errors():
            return sorted(
                path.name
                for path in (self._root.iterdir() if self._root.exists() else ())
                if NAME_PATTERN.fullmatch(path.name) and _has_manifest(path)
            )

    def manifest(self, name: str) -> Manifest:
        return read(self._root / name)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        with _translate_errors():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private_directory(self._root, DRAFT_PREFIX) as draft:
            yield draft

    def publish(self, draft: Path, name: str) -> None:
        with _translate_errors():
            _sync(draft)
            draft.rename(self._root / name)
            _sync(self._root)

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        if not (self._root / name).is_dir():
            raise BackupError(f"{self._root} has no backup {name}.")
        yield self._root / name

    def delete(self, name: str) -> None:
        with _translate_errors():
            (self._root / name / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(self._root / name)

    def delete_incomplete(self) -> None:
        with _translate_errors():
            for path in self._root.iterdir():
                is_incomplete = NAME_PATTERN.fullmatch(path.name) and not _has_manifest(path)
                if is_incomplete and path.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)


def _has_manifest(directory: Path) -> bool:
    """Return whether a backup is complete. False for one that only another user can read."""
    try:
        return (directory / MANIFEST).exists()
    except PermissionError:
        return False


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

    @contextmanager
    def draft(self) -> Iterator[Path]:
        with private_directory(Path(tempfile.gettempdir()), COPY_PREFIX) as draft:
            yield draft

    def publish(self, draft: Path, name: str) -> None:
        paths = [path for path in sorted(draft.rglob("*")) if path.is_file() and path.name != MANIFEST]
        try:
            for path in (*paths, draft / MANIFEST):
                at = f"{self._prefix}{name}/{path.relative_to(draft).as_posix()}"
                with path.open("rb") as file, self._storage.write(at) as writer:
                    while block := file.read(BLOCK_SIZE):
                        writer.write(block)
        except BaseException:
            with suppress(StorageError):
                self.delete(name)
            raise

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        with private_directory(Path(tempfile.gettempdir()), COPY_PREFIX) as directory:
            copy = directory / name
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

    def delete_incomplete(self) -> None:
        newest: dict[str, float] = {}
        for stored, at in self._storage.list_files(self._prefix):
            name = stored.removeprefix(self._prefix).partition("/")[0]
            newest[name] = max(newest.get(name, 0), at.timestamp())
        for name in newest.keys() - set(self.names()):
            if NAME_PATTERN.fullmatch(name) and newest[name] < time.time() - ABANDONED_SECONDS:
                self.delete(name)


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
