"""Checks of backups: the tools for them, and the age of the newest one that is known to be good."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from shared.backup import clients
from shared.backup.errors import BackupError
from shared.backup.operations_log import last_proven_backup
from shared.infra.db import Conn
from shared.settings import settings
from workers.cli.diagnosis.findings import Finding, fault, ok, warning

MAX_AGE = timedelta(hours=26)
"""The alert BackupOverdue has the same limit: a day, and two hours for the backup and its drill."""


def check_pg_dump(conn: Conn) -> Iterator[Finding]:
    """Check that backups are possible: a pg_dump is installed that is not older than the server."""
    version = conn.info.server_version // 10_000
    try:
        program = clients.find("pg_dump", version)
    except BackupError as error:
        found = warning if settings().backup_target is None else fault
        install = (
            f"Install the client tools of PostgreSQL {version}, as in Debian's package postgresql-client-{version}."
        )
        yield found("pg_dump", f"This machine cannot back up PostgreSQL {version}: {error}", install)
    else:
        yield ok("pg_dump", f"{program} can back up PostgreSQL {version}")


def check_age(conn: Conn) -> Iterator[Finding]:
    """Check the age of the newest backup that passed a drill, where BACKUP_TARGET turns nightly backups on."""
    if settings().backup_target is None:
        return
    proven_at = last_proven_backup(conn)
    remedy = "Search the log of bulk for backup_command_failed, or run `waymark backup` and `waymark drill` now."
    if proven_at is None:
        yield warning("backup", "No backup has passed a drill", remedy)
    elif (age := datetime.now(UTC) - proven_at) > MAX_AGE:
        hours = age / timedelta(hours=1)
        yield fault("backup", f"The newest backup that passed a drill is {hours:,.0f} hours old", remedy)
    else:
        yield ok("backup", f"The backup of {proven_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} passed a drill")
