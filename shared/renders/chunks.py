"""The chunks of renders: claimed under a lease, kept by heartbeats, finished once, behind the lease's token.

A worker that was stopped and comes back too late finds its chunk taken, or canceled, and what it made is dropped.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn
from shared.infra.leases import LeaseLost
from shared.renders import store
from shared.renders.rules import MAX_STORAGE_FAILURES
from shared.renders.store import FailedCode

STILL_OURS = "lease_token = %(token)s AND status = 'pending'"
"""The fence of every write that goes on with a lease or ends it."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a render in a worker's hands. `first_index` is the place of its first code among all."""

    job_id: UUID
    number: int
    first_index: int
    qr_ids: list[UUID]
    attempts: int
    crash_indexes: list[int]


def claim(conn: Conn, token: UUID, lease: timedelta) -> Chunk | None:
    """Lease the next chunk that nobody holds: the first ones of all jobs before any second one.

    A picture that a worker was watched to die with is marked. SKIP LOCKED: side by side, workers take different ones.
    """
    with conn.cursor(row_factory=class_row(Chunk)) as cursor:
        found = cursor.execute(
            """
            UPDATE render_chunks
            SET lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1,
                crash_indexes = CASE WHEN current_index IS NULL THEN crash_indexes
                                    ELSE crash_indexes || current_index END,
                current_index = NULL
            WHERE (job_id, number) = (
                SELECT job_id, number FROM render_chunks
                WHERE status = 'pending' AND (lease_until IS NULL OR lease_until <= now())
                ORDER BY number, job_id LIMIT 1
                FOR UPDATE SKIP LOCKED
            )
            RETURNING job_id, number, first_index, qr_ids, attempts, crash_indexes
            """,
            {"token": token, "lease": lease},
        ).fetchone()
    if found is not None and found.number == 0:  # by itself: whoever holds both rows takes the render's first
        conn.execute("UPDATE render_jobs SET status = 'running' WHERE id = %s AND status = 'queued'", (found.job_id,))
    return found


def keep(conn: Conn, token: UUID, chunk: Chunk, lease: timedelta, current_index: int | None = None) -> None:
    """A heartbeat: the lease begins anew. `current_index` is the picture that comes next, where one has crashed.

    Raises LeaseLost.
    """
    kept = conn.execute(
        f"""
        UPDATE render_chunks SET lease_until = now() + %(lease)s, current_index = %(current_index)s
        WHERE job_id = %(job_id)s AND number = %(number)s AND {STILL_OURS}
        """,  # noqa: S608 - a constant
        _chunk_params(token, chunk) | {"lease": lease, "current_index": current_index},
    )
    if not kept.rowcount:
        raise LeaseLost


def finish(conn: Conn, token: UUID, chunk: Chunk, part_name: str, failed: Sequence[FailedCode]) -> bool:
    """Say that a chunk is done, and how far its render has come; in one transaction. Whether it was the last one.

    Raises LeaseLost. The render is locked first, so that those who finish take turns, and one of them is the last.
    """
    store.lock(conn, chunk.job_id)
    finished = conn.execute(
        f"""
        UPDATE render_chunks
        SET status = 'done', part_name = %(part_name)s, done = cardinality(qr_ids) - %(failed)s, failed = %(failed)s,
            errors = %(errors)s, lease_token = NULL, lease_until = NULL, current_index = NULL
        WHERE job_id = %(job_id)s AND number = %(number)s AND {STILL_OURS}
        """,  # noqa: S608 - a constant
        _chunk_params(token, chunk)
        | {
            "part_name": part_name,
            "failed": len(failed),
            "errors": json.dumps([{"qr_id": str(one.qr_id), "message": one.message} for one in failed]),
        },
    )
    if not finished.rowcount:
        raise LeaseLost
    store.tell(conn, chunk.job_id, "render_progress")
    return store.count_open_chunks(conn, chunk.job_id) == 0


def retry_later(conn: Conn, token: UUID, chunk: Chunk, pause: timedelta, reason: str) -> None:
    """The storage failed us: the chunk comes up again after a pause that doubles, and the render fails in the end."""
    store.lock(conn, chunk.job_id)
    row = conn.execute(
        f"""
        UPDATE render_chunks
        SET lease_token = NULL, lease_until = now() + %(pause)s * (2 ^ storage_failures),
            storage_failures = storage_failures + 1,
            attempts = attempts - 1, current_index = NULL
        WHERE job_id = %(job_id)s AND number = %(number)s AND {STILL_OURS}
        RETURNING storage_failures
        """,  # noqa: S608 - a constant
        _chunk_params(token, chunk) | {"pause": pause},
    ).fetchone()
    if row is not None and row[0] >= MAX_STORAGE_FAILURES:
        store.end(conn, chunk.job_id, "failed", reason)


def give_back(conn: Conn, token: UUID, chunk: Chunk) -> None:
    """End a lease as if it had never been: PostgreSQL failed us, or this worker is about to stop."""
    conn.execute(
        f"""
        UPDATE render_chunks SET lease_token = NULL, lease_until = NULL, attempts = attempts - 1, current_index = NULL
        WHERE job_id = %(job_id)s AND number = %(number)s AND {STILL_OURS}
        """,  # noqa: S608 - a constant
        _chunk_params(token, chunk),
    )


def _chunk_params(token: UUID, chunk: Chunk) -> dict[str, object]:
    return {"token": token, "job_id": chunk.job_id, "number": chunk.number}
