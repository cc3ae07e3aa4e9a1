"""Restore a backup into an empty database."""

import re
import tempfile
from pathlib import Path

from shared.backup import clients, manifest
from shared.backup.dump import DATA, LOCK, connect
from shared.backup.errors import BackupDamaged, BackupError
from shared.backup.manifest import Manifest
from shared.backup.progress import Report, ignore
from shared.infra.db import Conn, exactly_one

JOBS = 2
VERSION_ROW = re.compile(r" TABLE DATA \S+ alembic_version ")


def restore(directory: Path, url: str, *, jobs: int = JOBS, report: Report = ignore) -> Manifest:
    """Restore the backup in a directory into the database at a URL, and compare the result with the manifest.

    The schema's version is written last, so no process is ready on a database whose restore has not finished.

    Raise BackupDamaged before the first change if a file is not as it was written. Raise BackupError if the database
    has tables, or if the restore fails; the database is then incomplete.
    """
    report("Checking the files.")
    restored = manifest.verify(directory)
    with connect(url) as conn, tempfile.TemporaryDirectory() as temporary:
        if not exactly_one(conn.execute("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK}))[0]:
            raise BackupError("Another backup or restore of this database is running.")
        if is_incomplete(conn):
            raise BackupError(
                "A restore into this database did not finish. Drop it, create a new one, and restore again."
            )
        if not is_empty(conn):
            raise BackupError(
                f"The database {conn.info.dbname} is not empty. Create a new one, and restore the backup into it."
            )
        server_version = max(conn.info.server_version, restored.server_version) // 10_000
        program = clients.find("pg_restore", server_version)
        # Roles of the other server may not exist here. A comment on an extension needs its owner.
        arguments = ["--no-owner", "--no-acl", "--no-comments", f"--jobs={jobs}", str(directory / DATA)]
        contents = Path(temporary, "contents")
        lines = clients.list_contents(program, directory / DATA)
        contents.write_text("\n".join(line for line in lines if not VERSION_ROW.search(line)))
        arguments.append(f"--use-list={contents}")
        report(f"Restoring {sum(restored.rows.values()):,} rows.")
        if conn.info.server_version >= 170_000:
            clients.run(program, url, ["--exit-on-error", *arguments])
        else:
            # Newer programs set a parameter that older servers do not have.
            clients.run(program, url, arguments, tolerated="transaction_timeout")
        report("Comparing the rows with the manifest.")
        conn.execute("ANALYZE")
        with conn.transaction():
            conn.execute(
                "INSERT INTO alembic_version (version_num) VALUES (%(migration)s) ON CONFLICT DO NOTHING",
                {"migration": restored.migration},
            )
            measured = manifest.measure(conn)
            if measured != restored.contents:
                differences = [name for name, rows in restored.rows.items() if measured.rows.get(name) != rows]
                differing = ", ".join(differences) or "balances of the ledger"
                raise BackupDamaged(f"The restored data differs from {restored.name} in {differing}.")
    return restored


def is_incomplete(conn: Conn) -> bool:
    """Return whether the database has tables, but no version of the schema: a restore into it was interrupted."""
    tables = exactly_one(conn.execute("SELECT to_regclass('alembic_version'), to_regclass('players')"))
    return None not in tables and conn.execute("SELECT FROM alembic_version").rowcount == 0


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
