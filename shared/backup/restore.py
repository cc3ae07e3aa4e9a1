"""Restore a backup into an empty database."""

from pathlib import Path

from shared.backup import clients, manifest
from shared.backup.dump import DATA, connect
from shared.backup.errors import BackupDamaged, BackupError
from shared.backup.manifest import Manifest
from shared.infra.db import Conn, exactly_one

JOBS = 2


def restore(directory: Path, url: str, *, jobs: int = JOBS) -> Manifest:
    """Restore the backup in a directory into the database at a URL, and compare the result with the manifest.

    Raise BackupDamaged before the first change if a file is not as it was written. Raise BackupError if the database
    has tables, or if the restore fails; the database is then incomplete.
    """
    restored = manifest.verify(directory)
    with connect(url) as conn:
        if not is_empty(conn):
            raise BackupError("The database is not empty. Create a new one, and restore the backup into it.")
        server_version = max(conn.info.server_version, restored.server_version) // 10_000
        program = clients.find("pg_restore", server_version)
        # Roles of the other server may not exist here. A comment on an extension needs its owner.
        arguments = ["--no-owner", "--no-acl", "--no-comments", f"--jobs={jobs}", str(directory / DATA)]
        if conn.info.server_version >= 170_000:
            clients.run(program, url, ["--exit-on-error", *arguments])
        else:
            # Newer programs set a parameter that older servers do not have.
            clients.run(program, url, arguments, tolerated="transaction_timeout")
        conn.execute("ANALYZE")
        measured = manifest.measure(conn)
    if measured != restored.contents:
        differences = [name for name, rows in restored.rows.items() if measured.rows.get(name) != rows]
        raise BackupDamaged(
            f"The restored data differs from {restored.name} in {', '.join(differences) or 'balances of the ledger'}."
        )
    return restored


def is_empty(conn: Conn) -> bool:
    """Return whether the database has no tables, views and functions, except those of extensions."""
    row = exactly_one(
        conn.execute(
            """
            WITH objects (classid, objid, schema) AS (
                SELECT 'pg_class'::regclass::oid, oid, relnamespace FROM pg_class
                UNION ALL SELECT 'pg_proc'::regclass::oid, oid, pronamespace FROM pg_proc
            )
            SELECT NOT EXISTS (
                SELECT FROM objects o JOIN pg_namespace n ON n.oid = o.schema
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%%'
                  AND NOT EXISTS (SELECT FROM pg_depend d
                                  WHERE d.classid = o.classid AND d.objid = o.objid AND d.deptype = 'e'))
            """
        )
    )
    return bool(row[0])
