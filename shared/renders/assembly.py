"""Putting a render's parts together: leased and fenced like a chunk, so that it has effect once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn
from shared.infra.leases import LeaseLost
from shared.renders import store
from shared.renders.rules import MAX_CRASHES, MAX_STORAGE_FAILURES, RenderOptions

STILL_OURS = "lease_token = %(token)s AND status = 'running'"
"""The fence of every write that goes on with a lease or ends it."""


@dataclass(frozen=True, kw_only=True)
class Assembly(RenderOptions):
    """A render of which every chunk is done."""

    id: UUID
    attempts: int


def claim(conn: Conn, token: UUID, lease: timedelta) -> Assembly | None:
    """Lease a render of which every chunk is done. SKIP LOCKED: side by side, workers take different ones."""
    with conn.cursor(row_factory=class_row(Assembly)) as cursor:
        return cursor.execute(
            """
            UPDATE render_jobs SET lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1
            WHERE id = (
                SELECT id FROM render_jobs j
                WHERE status = 'running' AND (lease_until IS NULL OR lease_until <= now())
                  AND NOT EXISTS (SELECT FROM render_chunks c WHERE c.job_id = j.id AND c.status = 'pending')
                ORDER BY id LIMIT 1
                FOR NO KEY UPDATE SKIP LOCKED
            )
            RETURNING id, output, format, size, error_correction, template, caption, attempts
            """,
            {"token": token, "lease": lease},
        ).fetchone()


def list_parts(conn: Conn, render_id: UUID) -> list[str]:
    """The names of the parts, in order."""
    rows = conn.execute(
        "SELECT part_name FROM render_chunks WHERE job_id = %s ORDER BY number", (render_id,)
    ).fetchall()
    return [row[0] for row in rows]


def keep(conn: Conn, token: UUID, assembly: Assembly, lease: timedelta) -> None:
    """A heartbeat. Raises AssemblyLost."""
    kept = conn.execute(
        f"UPDATE render_jobs SET lease_until = now() + %(lease)s WHERE id = %(id)s AND {STILL_OURS}",  # noqa: S608
        {"token": token, "id": assembly.id, "lease": lease},
    )
    if not kept.rowcount:
        raise LeaseLost


def finish(conn: Conn, token: UUID, assembly: Assembly, file_name: str, file_bytes: int, kept: timedelta) -> None:
    """Say that the render is done, and where its file is for so long; in one transaction. Raises AssemblyLost."""
    finished = conn.execute(
        f"""
        UPDATE render_jobs
        SET status = 'done', finished_at = now(), file_name = %(file_name)s, file_bytes = %(bytes)s,
            expires_at = now() + %(kept)s, lease_token = NULL, lease_until = NULL
        WHERE id = %(id)s AND {STILL_OURS}
        """,  # noqa: S608 - a constant
        {"token": token, "id": assembly.id, "file_name": file_name, "bytes": file_bytes, "kept": kept},
    )
    if not finished.rowcount:
        raise LeaseLost
    store.tell(conn, assembly.id, "render_done")


def fail(conn: Conn, token: UUID, assembly: Assembly, reason: str) -> None:
    """The render has no file, and will have none."""
    keep(conn, token, assembly, timedelta())
    store.end(conn, assembly.id, "failed", reason)


def retry_later(conn: Conn, token: UUID, assembly: Assembly, pause: timedelta, reason: str) -> None:
    """The storage failed us: once more after a pause that doubles, and the render fails in the end."""
    row = conn.execute(
        f"""
        UPDATE render_jobs
        SET lease_token = NULL, lease_until = now() + %(pause)s * (2 ^ storage_failures),
            storage_failures = storage_failures + 1,
            attempts = attempts - 1
        WHERE id = %(id)s AND {STILL_OURS} RETURNING storage_failures
        """,  # noqa: S608 - a constant
        {"token": token, "id": assembly.id, "pause": pause},
    ).fetchone()
    if row is not None and row[0] >= MAX_STORAGE_FAILURES:
        store.end(conn, assembly.id, "failed", reason)


def give_back(conn: Conn, token: UUID, assembly: Assembly) -> None:
    """End a lease as if it had never been: PostgreSQL failed us."""
    conn.execute(
        f"""
        UPDATE render_jobs SET lease_token = NULL, lease_until = NULL, attempts = attempts - 1
        WHERE id = %(id)s AND {STILL_OURS}
        """,  # noqa: S608 - a constant
        {"token": token, "id": assembly.id},
    )


def rerender_missing_parts(conn: Conn, token: UUID, assembly: Assembly, missing: Sequence[str], reason: str) -> None:
    """Parts are not in the storage any more, as after a restore: their chunks are drawn once more. It is the storage's
    failure and no death; where it loses parts again and again, the render fails in the end."""
    row = conn.execute(
        f"""
        UPDATE render_jobs
        SET lease_token = NULL, lease_until = NULL, storage_failures = storage_failures + 1, attempts = attempts - 1
        WHERE id = %(id)s AND {STILL_OURS} RETURNING storage_failures
        """,  # noqa: S608 - a constant
        {"token": token, "id": assembly.id},
    ).fetchone()
    if row is None:
        return
    if row[0] >= MAX_STORAGE_FAILURES:
        store.end(conn, assembly.id, "failed", reason)
        return
    conn.execute(
        """
        UPDATE render_chunks SET status = 'pending', part_name = NULL, done = 0, failed = 0, errors = '[]', attempts = 0
        WHERE job_id = %s AND part_name = ANY(%s)
        """,
        (assembly.id, list(missing)),
    )


def is_spent(assembly: Assembly) -> bool:
    """Whether too many workers died with it."""
    return assembly.attempts > MAX_CRASHES
