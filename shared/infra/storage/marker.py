"""Whether web and workers share their files: a marker in the storage, whose id PostgreSQL records.

The first process writes the marker. A process that does not find it has another directory: it would store files that
the others cannot read. A bucket is shared by its name.
"""

from uuid import UUID, uuid4

import psycopg
import psycopg_pool
from psycopg.rows import scalar_row

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.logging import get_logger
from shared.infra.storage.base import FileMissing, Storage, StorageError
from shared.infra.storage.factory import storage
from shared.settings import settings

log = get_logger()

NOT_SHARED = (
    "FILES_DIR of this process is not the directory that the installation uses. Mount the shared directory, or set "
    "FILES_S3_BUCKET. After a move or a restore without files, run `waymark files adopt`."
)


def marker_name(marker: UUID) -> str:
    """Return the name of the marker's file."""
    return f"markers/{marker}"


def is_shared(files: Storage) -> bool:
    """Return whether this storage has the recorded marker. Record one if none is. Raise StorageError."""
    with db.connection() as conn:
        marker = _find(conn)
    if marker is None:
        # The file before the row: a crash between them leaves a file without effect.
        marker = uuid4()
        with files.write(marker_name(marker)):
            pass
        with db.transaction() as conn:
            marker = _record(conn, marker)
    try:
        files.size(marker_name(marker))
    except FileMissing:
        return False
    return True


def adopt(files: Storage) -> UUID:
    """Make this storage that of the installation, and return its new marker. Raise StorageError."""
    marker = uuid4()
    with files.write(marker_name(marker)):
        pass
    with db.transaction() as conn:
        conn.execute(
            """
            INSERT INTO file_storages (marker) VALUES (%(marker)s)
            ON CONFLICT (only_row) DO UPDATE SET marker = EXCLUDED.marker, recorded_at = now()
            """,
            {"marker": marker},
        )
    return marker


def check() -> bool:
    """Return whether this process may use its storage, and log what to do if it may not.

    True while PostgreSQL is unavailable or not migrated, which other checks report.
    """
    if settings().files_s3_bucket is not None:
        return True
    try:
        if is_shared(storage()):
            return True
        log.error("files_not_shared", detail=NOT_SHARED)
    except StorageError as error:
        log.warning("files_unavailable", error=str(error))
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable, psycopg_pool.PoolTimeout):
        return True
    return False


def _find(conn: Conn) -> UUID | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        marker: UUID | None = cursor.execute("SELECT marker FROM file_storages").fetchone()
    return marker


def _record(conn: Conn, marker: UUID) -> UUID:
    """Record the marker if none is recorded yet. Return the recorded one."""
    conn.execute(
        "INSERT INTO file_storages (marker) VALUES (%(marker)s) ON CONFLICT (only_row) DO NOTHING", {"marker": marker}
    )
    # A statement of its own: it sees what another process committed meanwhile.
    return _find(conn) or marker
