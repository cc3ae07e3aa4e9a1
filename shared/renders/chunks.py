"""Chunks of renders in PostgreSQL: leased, kept by heartbeats, and finished once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra import leases
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable
from shared.renders import store
from shared.renders.rules import MAX_CHUNK_CLAIMS, MAX_STORAGE_FAILURES
from shared.renders.store import FailedCode


@dataclass(frozen=True)
class Chunk:
    """A part of a render's codes. `first_index` is the index of its first code among all codes of the render.

    `current_index` is the image in progress when a worker crashed; `crash_indexes` are all such images.
    """

    id: UUID
    job_id: UUID
    number: int
    first_index: int
    qr_ids: list[UUID]
    attempts: int
    current_index: int | None
    crash_indexes: list[int]


PENDING_CHUNKS = LeasedTable(
    name="render_chunks",
    columns="id, job_id, number, first_index, qr_ids, attempts, current_index, crash_indexes",
    row=class_row(Chunk),
    # Of an organization, the first chunks of all renders precede any second chunk: a small render does not wait for a
    # large one.
    order="number, job_id",
    max_attempts=MAX_CHUNK_CLAIMS,
    is_fair=True,
)


def start(conn: Conn, token: UUID, chunk: Chunk) -> Chunk:
    """Record the image in progress at the last crash, and give a queued render the status `running`. Return the chunk
    with its crashes."""
    if chunk.number == 0:
        conn.execute(
            "UPDATE render_jobs SET status = 'running' WHERE id = %(job_id)s AND status = 'queued'",
            {"job_id": chunk.job_id},
        )
    if chunk.current_index is None:
        return chunk
    conn.execute(
        """
        UPDATE render_chunks SET crash_indexes = crash_indexes || current_index, current_index = NULL
        WHERE id = %(id)s AND lease_token = %(token)s AND current_index IS NOT NULL
        """,
        {"id": chunk.id, "token": token},
    )
    return replace(chunk, current_index=None, crash_indexes=[*chunk.crash_indexes, chunk.current_index])


def set_current_index(conn: Conn, token: UUID, chunk: Chunk, index: int | None) -> None:
    """Store the index of the image in progress, so that a crash can be attributed to it; None for no image."""
    conn.execute(
        "UPDATE render_chunks SET current_index = %(index)s WHERE id = %(id)s AND lease_token = %(token)s",
        {"id": chunk.id, "token": token, "index": index},
    )


def finish(conn: Conn, token: UUID, chunk: Chunk, part_name: str, failed: Sequence[FailedCode]) -> bool:
    """Finish a chunk and publish the progress of its render. Return True if it was the last. Raise LeaseLost."""
    # The render is locked first: finishing chunks take turns, so exactly one of them is the last.
    store.lock(conn, chunk.job_id)
    leases.lock_one(conn, PENDING_CHUNKS, token, chunk.id)
    conn.execute(
        """
        UPDATE render_chunks
        SET status = 'done', part_name = %(part_name)s, done = cardinality(qr_ids) - %(failed)s, failed = %(failed)s,
            errors = %(errors)s, lease_token = NULL, lease_until = NULL, current_index = NULL
        WHERE id = %(id)s
        """,
        {
            "id": chunk.id,
            "part_name": part_name,
            "failed": len(failed),
            "errors": json.dumps([{"qr_id": str(code.qr_id), "message": code.message} for code in failed]),
        },
    )
    done = len(chunk.qr_ids) - len(failed)
    open_chunks = store.add_progress(conn, chunk.job_id, done=done, failed=len(failed), chunks=1)
    store.append_event(conn, chunk.job_id, "render_progress")
    return open_chunks == 0


def retry_later(conn: Conn, token: UUID, chunk: Chunk, pause: timedelta, reason: str) -> None:
    """Retry a chunk after a failure of the storage, with a pause that doubles. After MAX_STORAGE_FAILURES the render
    fails for this reason. Raise LeaseLost."""
    store.lock(conn, chunk.job_id)
    set_current_index(conn, token, chunk, None)
    if leases.retry_later(conn, PENDING_CHUNKS, token, chunk.id, pause, reason) >= MAX_STORAGE_FAILURES:
        store.end(conn, chunk.job_id, "failed", reason)
