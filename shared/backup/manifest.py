"""The manifest of a backup: what it contains, and the digest of each of its files."""

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.backup.errors import BackupDamaged
from shared.infra.db import Conn, exactly_one

MANIFEST = "manifest.json"
BLOCK_SIZE = 1024 * 1024


class Contents(NamedTuple):
    """The number of rows of each table, and a digest of all balances of the ledger. Equal data has equal contents."""

    rows: dict[str, int]
    ledger_digest: str


class FileEntry(BaseModel):
    """A file of the dump."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """A complete backup. `created_at` is the time of its snapshot; later transactions are not in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    created_at: datetime
    migration: str
    server_version: int
    rows: dict[str, int]
    ledger_digest: str
    files: dict[str, FileEntry]

    @property
    def contents(self) -> Contents:
        return Contents(self.rows, self.ledger_digest)

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files.values())


def measure(conn: Conn) -> Contents:
    """Measure the database, in the snapshot of the caller's transaction."""
    rows = conn.execute("SELECT table_name, row_count FROM count_rows()").fetchall()
    # A sum does not depend on the order of the balances, and needs no memory.
    digest = exactly_one(
        conn.execute(
            """
            SELECT coalesce(sum(('x' || left(encode(sha256(convert_to(
                       concat_ws('/', player_id, coalesce(org_id::text, '-'), total, item), 'UTF8')), 'hex'), 15)
                   )::bit(60)::bigint), 0)::text
            FROM (
                SELECT player_id, org_id, item, sum(quantity) AS total FROM inventory_ledger GROUP BY 1, 2, 3
            ) balances
            """
        )
    )
    return Contents(dict(rows), digest[0])


def describe_files(directory: Path) -> dict[str, FileEntry]:
    """Return the size and the digest of each file below a directory, except its manifest."""
    return {
        path.relative_to(directory).as_posix(): FileEntry(bytes=path.stat().st_size, sha256=_digest(path))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / MANIFEST
    }


def write(directory: Path, manifest: Manifest) -> None:
    """Write the manifest durably, with a digest of itself."""
    text = manifest.model_dump_json(indent=1)
    document = json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "manifest": text}, indent=1)
    descriptor = os.open(directory / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())


def read(directory: Path) -> Manifest:
    """Return the manifest of a backup. Raise BackupDamaged if it is not as it was written."""
    try:
        return parse((directory / MANIFEST).read_bytes(), directory.name)
    except FileNotFoundError:
        raise BackupDamaged(f"{directory} has no {MANIFEST}, so it is not a complete backup.") from None


def parse(content: bytes, name: str) -> Manifest:
    """Return the manifest of the backup of this name. Raise BackupDamaged if it is not as it was written."""
    try:
        document = json.loads(content)
        text = document["manifest"]
        if hashlib.sha256(text.encode()).hexdigest() != document["sha256"]:
            raise BackupDamaged(f"{MANIFEST} of {name} was changed after it was written.")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupDamaged(f"{MANIFEST} of {name} is damaged.") from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BackupDamaged(
            f"{name} was made by another version of Waymark. Use that version to restore it."
        ) from error


def verify(directory: Path) -> Manifest:
    """Return the manifest. Raise BackupDamaged if a file is missing, additional or not as it was written."""
    manifest = read(directory)
    found = describe_files(directory)
    for name in sorted(manifest.files.keys() | found.keys()):
        if name not in found:
            raise BackupDamaged(f"{name} of {manifest.name} is missing.")
        if found[name] != manifest.files.get(name):
            raise BackupDamaged(f"{name} of {manifest.name} is not the file that was written.")
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
