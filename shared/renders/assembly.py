"""Assemblies in PostgreSQL: a render whose chunks are all done is leased, and its file is stored once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra import leases
from shared.infra.db import Conn, exactly_one
from shared.infra.leases import LeasedTable
from shared.renders import store
from shared.renders.rules import MAX_CRASHES, MAX_STORAGE_FAILURES


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """A render whose chunks are all done. Its id is the render's."""

    id: UUID
    attempts: int


PENDING_ASSEMBLIES = LeasedTable(
    name="render_jobs",
    columns="id, attempts",
    row=class_row(Assembly),
    pending="status = 'running' AND open_chunks = 0",
    max_attempts=MAX_CRASHES,
    is_fair=True,
)


def list_parts(conn: Conn, render_id: UUID) -> list[str]:
    """Return the names of the parts, in the order of their chunks."""
    rows = conn.execute(
        "SELECT part_name FROM render_chunks WHERE job_id = %(id)s ORDER BY number", {"id": render_id}
    ).fetchall()
    return [row[0] for row in rows]


def finish(conn: Conn, token: UUID, assembly: Assembly, file_name: str, file_bytes: int, retention: timedelta) -> None:
    """Finish a render with its file, and publish it. Raise LeaseLost."""
    leases.lock_one(conn, PENDING_ASSEMBLIES, token, assembly.id)
    conn.execute(
        """
        UPDATE render_jobs
        SET status = 'done', finished_at = now(), file_name = %(file_name)s, file_bytes = %(file_bytes)s,
            expires_at = now() + %(retention)s, lease_token = NULL, lease_until = NULL
        WHERE id = %(id)s
        """,
        {"id": assembly.id, "file_name": file_name, "file_bytes": file_bytes, "retention": retention},
    )
    store.append_event(conn, assembly.id, "render_done")


def fail(conn: Conn, token: UUID, assembly: Assembly, reason: str) -> None:
    """Fail a render for this reason. Raise LeaseLost."""
    leases.lock_one(conn, PENDING_ASSEMBLIES, token, assembly.id)
    store.end(conn, assembly.id, "failed", reason)


def retry_later(conn: Conn, token: UUID, assembly: Assembly, pause: timedelta, reason: str) -> None:
    """Retry an assembly after a failure of the storage, with a pause that doubles. After MAX_STORAGE_FAILURES the
    render fails for this reason. Raise LeaseLost."""
    if leases.retry_later(conn, PENDING_ASSEMBLIES, token, assembly.id, pause, reason) >= MAX_STORAGE_FAILURES:
        store.end(conn, assembly.id, "failed", reason)


def rerender_missing_parts(conn: Conn, token: UUID, assembly: Assembly, missing: Sequence[str], reason: str) -> None:
    """Render the chunks of missing parts again, as after a restore of the storage. It counts as a failure of the
    storage: after MAX_STORAGE_FAILURES the render fails for this reason. Raise LeaseLost."""
    retry_later(conn, token, assembly, timedelta(), reason)
    lost = conn.execute(
        """
        WITH lost_chunks AS (
            SELECT id, done, failed FROM render_chunks
            WHERE job_id = %(id)s AND part_name = ANY (%(missing)s)
              AND EXISTS (SELECT FROM render_jobs j WHERE j.id = %(id)s AND j.status = 'running')
            FOR NO KEY UPDATE
        ), pending_chunks AS (
            UPDATE render_chunks c
            SET status = 'pending', part_name = NULL, done = 0, failed = 0, errors = '[]', attempts = 0,
                lease_until = NULL
            FROM lost_chunks l WHERE c.id = l.id
        )
        SELECT coalesce(sum(done), 0), coalesce(sum(failed), 0), count(*) FROM lost_chunks
        """,
        {"id": assembly.id, "missing": list(missing)},
    )
    done, failed, chunks = exactly_one(lost)
    store.add_progress(conn, assembly.id, done=-done, failed=-failed, chunks=-chunks)
