"""The log of backups and drills. Operators and monitoring learn from it whether the newest backup can be restored."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from psycopg.rows import scalar_row

from shared.backup.manifest import Manifest
from shared.infra.db import Conn

Operation = Literal["backup", "drill"]


def record(conn: Conn, operation: Operation, backup: Manifest, *, passed: bool = True, detail: str = "") -> None:
    """Record an operation on a backup, and whether it passed."""
    conn.execute(
        """
        INSERT INTO operations_log (operation, backup, backup_at, passed, detail)
        VALUES (%(operation)s, %(backup)s, %(backup_at)s, %(passed)s, %(detail)s)
        """,
        {
            "operation": operation,
            "backup": backup.name,
            "backup_at": backup.created_at,
            "passed": passed,
            "detail": detail,
        },
    )


def has_drill(conn: Conn, backup: str) -> bool:
    """Return whether a drill of this backup is recorded, passed or not."""
    found = conn.execute(
        "SELECT FROM operations_log WHERE operation = 'drill' AND backup = %(backup)s LIMIT 1", {"backup": backup}
    )
    return found.rowcount == 1


def newest_proven(conn: Conn, names: Collection[str]) -> str | None:
    """Return the newest of these backups that passed a drill, or None."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        name: str | None = cursor.execute(
            """
            SELECT backup FROM operations_log WHERE operation = 'drill' AND passed AND backup = ANY(%(names)s)
            ORDER BY backup_at DESC LIMIT 1
            """,
            {"names": list(names)},
        ).fetchone()
    return name


def last_proven_backup(conn: Conn) -> datetime | None:
    """Return the time of the newest backup that passed a drill, or None."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        at: datetime | None = cursor.execute(
            "SELECT max(backup_at) FROM operations_log WHERE operation = 'drill' AND passed"
        ).fetchone()
    return at
