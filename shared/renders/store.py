"""Renders in PostgreSQL: created, read, canceled."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, kwargs_row
from psycopg.types.json import Jsonb

from shared.errors import TooManyRenders
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, uuid7
from shared.renders.label_templates import LabelTemplate
from shared.renders.rules import (
    MAX_ERRORS_LISTED,
    MAX_OPEN_RENDERS,
    Render,
    RenderOptions,
    split_into_chunks,
)


@dataclass(frozen=True)
class FailedCode:
    """A code without an image, and the reason."""

    qr_id: UUID
    message: str


# `ANY` of one organization keeps it in the order: sorted by the id alone, a plan may walk the primary key through the
# rows of every organization.
SELECT_PAGE = """
    SELECT id, org_id, output, format, size, error_correction, template, sheet, caption, start_at, created_at,
           status, reason, total, done_codes AS done, failed_codes AS failed, finished_at, file_name,
           file_bytes, expires_at, coalesce(expires_at <= now(), false) AS is_expired
    FROM render_jobs
    WHERE org_id = ANY (ARRAY[%(org_id)s::uuid]) AND id < %(before)s
    ORDER BY org_id DESC, id DESC LIMIT %(limit)s
"""


def _to_render(sheet: dict[str, Any] | None, **columns: Any) -> Render:
    return Render(sheet=None if sheet is None else LabelTemplate(**sheet), **columns)


def check_open(conn: Conn, org_id: UUID) -> None:
    """Raise TooManyRenders if the organization has more than MAX_OPEN_RENDERS open renders.

    Exact in a transaction that has added its own render, and then locked the organization's usage.
    """
    (count,) = exactly_one(
        conn.execute(
            "SELECT count(*) FROM render_jobs WHERE org_id = %(org_id)s AND finished_at IS NULL", {"org_id": org_id}
        )
    )
    if count > MAX_OPEN_RENDERS:
        raise TooManyRenders


def add(conn: Conn, org_id: UUID, requested_by: UUID | None, options: RenderOptions, qr_ids: Sequence[UUID]) -> UUID:
    """Store a queued render of these codes with its chunks. Return its id."""
    render_id = uuid7()
    chunks = split_into_chunks(qr_ids, options)
    conn.execute(
        """
        INSERT INTO render_jobs
            (id, org_id, requested_by, output, format, size, error_correction, template, sheet, caption, start_at,
             total, open_chunks)
        VALUES (%(id)s, %(org_id)s, %(requested_by)s, %(output)s, %(format)s, %(size)s, %(error_correction)s,
                %(template)s, %(sheet)s, %(caption)s, %(start_at)s, %(total)s, %(open_chunks)s)
        """,
        vars(options)
        | {
            "id": render_id,
            "org_id": org_id,
            "requested_by": requested_by,
            "sheet": options.sheet and Jsonb(asdict(options.sheet)),
            "total": len(qr_ids),
            "open_chunks": len(chunks),
        },
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO render_chunks (org_id, job_id, number, first_index, qr_ids) VALUES (%s, %s, %s, %s, %s)",
            [(org_id, render_id, number, first, list(ids)) for number, (first, ids) in enumerate(chunks)],
        )
    return render_id


def find(conn: Conn, org_id: UUID, render_id: UUID) -> Render | None:
    """Return a render of an organization."""
    with conn.cursor(row_factory=kwargs_row(_to_render)) as cursor:
        return cursor.execute(
            """
            SELECT id, org_id, output, format, size, error_correction, template, sheet, caption, start_at, created_at,
                   status, reason, total, done_codes AS done, failed_codes AS failed, finished_at, file_name,
                   file_bytes, expires_at, coalesce(expires_at <= now(), false) AS is_expired
            FROM render_jobs
            WHERE org_id = %(org_id)s AND id = %(id)s
            """,
            {"org_id": org_id, "id": render_id},
        ).fetchone()


def list_for_organization(conn: Conn, org_id: UUID, *, limit: int, before: UUID | None = None) -> list[Render]:
    """Return renders of an organization, newest first. With `before`, only older ones than that."""
    with conn.cursor(row_factory=kwargs_row(_to_render)) as cursor:
        return cursor.execute(SELECT_PAGE, {"org_id": org_id, "before": before or HIGHEST, "limit": limit}).fetchall()


def get_many(conn: Conn, render_ids: Collection[UUID]) -> dict[UUID, Render]:
    """Return renders of any organization, by id. For workers only."""
    with conn.cursor(row_factory=kwargs_row(_to_render)) as cursor:
        renders = cursor.execute(
            """
            SELECT id, org_id, output, format, size, error_correction, template, sheet, caption, start_at, created_at,
                   status, reason, total, done_codes AS done, failed_codes AS failed, finished_at, file_name,
                   file_bytes, expires_at, coalesce(expires_at <= now(), false) AS is_expired
            FROM render_jobs
            WHERE id = ANY (%(ids)s)
            """,
            {"ids": list(render_ids)},
        ).fetchall()
    return {render.id: render for render in renders}


def list_errors(conn: Conn, render_id: UUID) -> list[FailedCode]:
    """Return the first MAX_ERRORS_LISTED codes that failed, in the order of the render."""
    with conn.cursor(row_factory=class_row(FailedCode)) as cursor:
        return cursor.execute(
            """
            SELECT (errors.entry ->> 'qr_id')::uuid AS qr_id, errors.entry ->> 'message' AS message
            FROM render_chunks c, jsonb_array_elements(c.errors) WITH ORDINALITY errors (entry, number)
            WHERE c.job_id = %(id)s ORDER BY c.number, errors.number LIMIT %(limit)s
            """,
            {"id": render_id, "limit": MAX_ERRORS_LISTED},
        ).fetchall()


def lock(conn: Conn, render_id: UUID) -> None:
    """Lock a render until the transaction ends: no other transaction finishes it or one of its chunks."""
    # Every transaction that locks rows of a render and of its chunks locks the render first. This prevents deadlocks.
    conn.execute("SELECT FROM render_jobs WHERE id = %(id)s FOR NO KEY UPDATE", {"id": render_id})


def cancel(conn: Conn, org_id: UUID, render_id: UUID) -> bool:
    """Cancel an open render, or expire the file of a finished one. Return False if there is no such render.

    The chunks lose their leases: a worker notices at its next heartbeat, and cannot finish its chunk.
    """
    lock(conn, render_id)
    render = find(conn, org_id, render_id)
    if render is None:
        return False
    if render.status == "done":
        conn.execute(
            "UPDATE render_jobs SET expires_at = least(expires_at, now()) WHERE id = %(id)s", {"id": render_id}
        )
        return True
    end(conn, render_id, "canceled")
    return True


def end(conn: Conn, render_id: UUID, status: str, reason: str | None = None) -> bool:
    """End an open render without a file, with its pending chunks, and append the event. Return True if it was open."""
    # The render before its chunks, as in `lock`.
    ended = conn.execute(
        """
        UPDATE render_jobs
        SET status = %(status)s, reason = %(reason)s, finished_at = now(), open_chunks = 0,
            lease_token = NULL, lease_until = NULL
        WHERE id = %(id)s AND status IN ('queued', 'running')
        """,
        {"id": render_id, "status": status, "reason": reason},
    ).rowcount
    conn.execute(
        """
        UPDATE render_chunks SET status = 'canceled', lease_token = NULL, lease_until = NULL
        WHERE job_id = %(id)s AND status = 'pending'
        """,
        {"id": render_id},
    )
    if ended:
        append_event(conn, render_id, "render_done")
    return bool(ended)


def append_event(conn: Conn, render_id: UUID, event: str) -> None:
    """Append an event with the progress of a render to the event log, for the organization's staff."""
    conn.execute(
        """
        INSERT INTO events (type, org_id, data)
        SELECT %(event)s, org_id, jsonb_build_object(
            'render_id', id, 'status', status, 'total', total, 'done', done_codes, 'failed', failed_codes,
            'progress', round((done_codes + failed_codes)::numeric / total, 4)::double precision)
        FROM render_jobs WHERE id = %(id)s
        """,
        {"event": event, "id": render_id},
    )


def add_progress(conn: Conn, render_id: UUID, *, done: int, failed: int, chunks: int) -> int:
    """Add finished chunks to the counters of a render. Return how many of its chunks are pending.

    Negative numbers subtract chunks that have to be rendered again. The caller changes the chunks in the same
    transaction, so the counters always equal the sums over the chunks.
    """
    counters = conn.execute(
        """
        UPDATE render_jobs
        SET done_codes = done_codes + %(done)s, failed_codes = failed_codes + %(failed)s,
            open_chunks = open_chunks - %(chunks)s
        WHERE id = %(id)s
        RETURNING open_chunks
        """,
        {"id": render_id, "done": done, "failed": failed, "chunks": chunks},
    )
    return int(exactly_one(counters)[0])
