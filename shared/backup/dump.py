"""Dump the database of the installation. The manifest describes exactly the snapshot that pg_dump reads."""

import secrets
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import psycopg

from shared.backup import clients, manifest, operations_log
from shared.backup.errors import BackupError
from shared.backup.manifest import Contents, Manifest
from shared.backup.progress import Report, ignore
from shared.backup.targets import Target, name_prefix
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.settings import settings

LOCK = crc32(b"waymark:backup")
JOBS = 2
DATA = "data"
"""The directory of the dump, beside the manifest."""


def connect(url: str) -> Conn:
    """Open a connection for backups. Its transactions may be idle for hours."""
    # Waymark terminates silent transactions of the application name `waymark`.
    conn: Conn = psycopg.connect(url, **db.OPTIONS | {"application_name": "waymark-backup"})
    conn.execute(
        """
        SELECT set_config('idle_in_transaction_session_timeout', '0', false),
               set_config('idle_session_timeout', '0', false),
               set_config('statement_timeout', '0', false)
        """
    )
    return conn


def create(target: Target, report: Report = ignore) -> Manifest:
    """Create a backup of the installation's database, and record it. Raise BackupError or StorageError."""
    url = settings().direct_database_url.get_secret_value()
    with connect(url) as conn:
        if not exactly_one(conn.execute("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK}))[0]:
            raise BackupError("Another backup of this database is being created.")
        if exactly_one(conn.execute("SELECT to_regclass('alembic_version')"))[0] is None:
            raise BackupError("This database has no tables of Waymark. Is DATABASE_URL right?")
        program = clients.find("pg_dump", conn.info.server_version // 10_000)
        # Missing rights to a bucket are found before a dump of hours, not after it.
        target.names()
        with target.draft() as draft:
            size = exactly_one(conn.execute("SELECT pg_size_pretty(pg_database_size(current_database()))"))[0]
            report(f"Dumping a database of {size}.")
            created = _dump(conn, program, url, draft)
            report(f"Publishing {created.bytes:,} bytes.")
            target.publish(draft, created.name)
        operations_log.record(conn, "backup", created)
    return created


def _dump(conn: Conn, program: Path, url: str, draft: Path) -> Manifest:
    with conn.transaction(), ThreadPoolExecutor(1) as thread:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        snapshot, at, migration = exactly_one(
            conn.execute("SELECT pg_export_snapshot(), now(), (SELECT version_num FROM alembic_version)")
        )
        if migration is None:
            raise BackupError("A restore into this database did not finish, or its schema was removed.")
        measured: Future[Contents] = thread.submit(manifest.measure, conn)
        arguments = ["--format=directory", f"--jobs={JOBS}", "--no-owner", f"--file={draft / DATA}"]
        try:
            clients.run(program, url, [*arguments, f"--snapshot={snapshot}"])
        except BaseException:
            # The cause is the first error, also if the server is unavailable.
            with suppress(psycopg.OperationalError):
                conn.cancel_safe()
            raise
        contents = measured.result()
    created = Manifest(
        name=f"{name_prefix(at)}-{secrets.token_hex(2)}",
        created_at=at,
        migration=migration,
        server_version=conn.info.server_version,
        rows=contents.rows,
        ledger_digest=contents.ledger_digest,
        files=manifest.describe_files(draft),
    )
    manifest.write(draft, created)
    return created


def prune(target: Target, keep: int, spared: Collection[str] = ()) -> list[str]:
    """Delete all backups but the newest ones and the spared ones. Return the names of those that were deleted."""
    unneeded = [name for name in target.names()[:-keep] if name not in spared]
    for name in unneeded:
        target.delete(name)
    target.delete_incomplete()
    return unneeded
