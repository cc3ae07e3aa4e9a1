"""Renders in PostgreSQL: asked for, looked at, canceled, forgotten."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, uuid7
from shared.renders.rules import MAX_CODES, MAX_ERRORS_LISTED, ROW_RETENTION, Render, RenderOptions, split_into_chunks

SELECT = """
    SELECT j.id, j.org_id, j.output, j.format, j.size, j.error_correction, j.template, j.caption, j.created_at,
           j.status, j.reason, j.total, c.done, c.failed, j.finished_at, j.file_name, j.file_bytes, j.expires_at,
           coalesce(j.expires_at <= now(), false) AS is_expired
    FROM render_jobs j CROSS JOIN LATERAL (
        SELECT coalesce(sum(done), 0)::integer AS done, coalesce(sum(failed), 0)::integer AS failed
        FROM render_chunks WHERE job_id = j.id
    ) c
"""


@dataclass(frozen=True)
class FailedCode:
    """A code without a picture, and why."""

    qr_id: UUID
    message: str


def select_code_ids(conn: Conn, org_id: UUID, tag: str | None) -> list[UUID]:
    """The organization's codes, or those with a tag, in the order they were made: one more than a render may have."""
    rows = conn.execute(
        """
        SELECT id FROM qr_codes
        WHERE org_id = %(org_id)s AND deleted_at IS NULL AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s::text])
        ORDER BY id LIMIT %(limit)s
        """,
        {"org_id": org_id, "tag": tag, "limit": MAX_CODES + 1},
    ).fetchall()
    return [row[0] for row in rows]


def find_unknown_indexes(conn: Conn, org_id: UUID, qr_ids: Sequence[UUID], *, limit: int) -> list[int]:
    """The first places where an id is none of the organization's codes."""
    rows = conn.execute(
        """
        SELECT place FROM unnest(%s::uuid[]) WITH ORDINALITY asked (id, place)
        WHERE NOT EXISTS (SELECT FROM qr_codes q WHERE q.id = asked.id AND q.org_id = %s AND q.deleted_at IS NULL)
        ORDER BY place LIMIT %s
        """,
        (list(qr_ids), org_id, limit),
    ).fetchall()
    return [int(row[0]) - 1 for row in rows]


def add(conn: Conn, org_id: UUID, requested_by: UUID | None, asked: RenderOptions, qr_ids: Sequence[UUID]) -> UUID:
    """Store a render of these codes, queued, with its chunks. Returns its id."""
    render_id = uuid7()
    conn.execute(
        """
        INSERT INTO render_jobs (id, org_id, requested_by, output, format, size, error_correction, template, caption,
                                 total)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            render_id,
            org_id,
            requested_by,
            asked.output,
            asked.format,
            asked.size,
            asked.error_correction,
            asked.template,
            asked.caption,
            len(qr_ids),
        ),
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO render_chunks (job_id, number, first_index, qr_ids) VALUES (%s, %s, %s, %s)",
            [
                (render_id, number, first, list(ids))
                for number, (first, ids) in enumerate(split_into_chunks(qr_ids, asked))
            ],
        )
    return render_id


def find(conn: Conn, org_id: UUID, render_id: UUID) -> Render | None:
    """One render of an organization."""
    with conn.cursor(row_factory=class_row(Render)) as cursor:
        return cursor.execute(SELECT + "WHERE j.org_id = %s AND j.id = %s", (org_id, render_id)).fetchone()


def of_organization(conn: Conn, org_id: UUID, *, limit: int, before: UUID | None = None) -> list[Render]:
    """An organization's renders, newest first, from past `before` on."""
    with conn.cursor(row_factory=class_row(Render)) as cursor:
        return cursor.execute(
            SELECT + "WHERE j.org_id = %s AND j.id < %s ORDER BY j.id DESC LIMIT %s",
            (org_id, before or HIGHEST, limit),
        ).fetchall()


def get_many(conn: Conn, render_ids: Collection[UUID]) -> dict[UUID, Render]:
    """Renders of any organization: for workers."""
    with conn.cursor(row_factory=class_row(Render)) as cursor:
        found = cursor.execute(SELECT + "WHERE j.id = ANY(%s)", (list(render_ids),)).fetchall()
    return {render.id: render for render in found}


def list_errors(conn: Conn, render_id: UUID) -> list[FailedCode]:
    """The first codes that failed, in the render's order."""
    with conn.cursor(row_factory=class_row(FailedCode)) as cursor:
        return cursor.execute(
            """
            SELECT (error ->> 'qr_id')::uuid AS qr_id, error ->> 'message' AS message
            FROM render_chunks, jsonb_array_elements(errors) WITH ORDINALITY told (error, place)
            WHERE job_id = %s ORDER BY number, place LIMIT %s
            """,
            (render_id, MAX_ERRORS_LISTED),
        ).fetchall()


def lock(conn: Conn, render_id: UUID) -> None:
    """Until the transaction ends, nobody else finishes a chunk of the render, or the render.

    Everyone who needs a render's row and its chunks' takes the render's first, so that nobody waits in a circle.
    """
    conn.execute("SELECT FROM render_jobs WHERE id = %s FOR NO KEY UPDATE", (render_id,))


def cancel(conn: Conn, org_id: UUID, render_id: UUID) -> bool:
    """End an open render, or let the file of one that is done expire. Whether there is such a render.

    Its chunks lose their leases: who draws one finds out at the next heartbeat, and cannot finish it.
    """
    lock(conn, render_id)
    render = find(conn, org_id, render_id)
    if render is None:
        return False
    if render.status == "done":
        conn.execute("UPDATE render_jobs SET expires_at = least(expires_at, now()) WHERE id = %s", (render_id,))
        return True
    end(conn, render_id, "canceled")
    return True


def end(conn: Conn, render_id: UUID, status: str, reason: str | None = None) -> bool:
    """End an open render that has no file, tell so, and take what is left of its work. Whether it was open."""
    ended = conn.execute(
        """
        UPDATE render_jobs SET status = %s, reason = %s, finished_at = now(), lease_token = NULL, lease_until = NULL
        WHERE id = %s AND status IN ('queued', 'running')
        """,
        (status, reason, render_id),
    ).rowcount
    conn.execute(
        """
        UPDATE render_chunks SET status = 'canceled', lease_token = NULL, lease_until = NULL
        WHERE job_id = %s AND status = 'pending'
        """,
        (render_id,),
    )
    if ended:
        tell(conn, render_id, "render_done")
    return bool(ended)


def tell(conn: Conn, render_id: UUID, event: str) -> None:
    """Put how far a render has come into the event log, for the organization's staff."""
    conn.execute(
        """
        INSERT INTO events (type, org_id, data)
        SELECT %s, j.org_id, jsonb_build_object(
            'render_id', j.id, 'status', j.status, 'total', j.total, 'done', c.done, 'failed', c.failed,
            'progress', round((c.done + c.failed)::numeric / j.total, 4)::double precision)
        FROM render_jobs j CROSS JOIN LATERAL (
            SELECT coalesce(sum(done), 0) AS done, coalesce(sum(failed), 0) AS failed
            FROM render_chunks WHERE job_id = j.id
        ) c
        WHERE j.id = %s
        """,
        (event, render_id),
    )
    event_log.notify_relay(conn)


def forget(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` renders that ended long ago, and whose file, if there was one, has expired long ago."""
    return conn.execute(
        """
        DELETE FROM render_jobs WHERE id IN (
            SELECT id FROM render_jobs
            WHERE finished_at < now() - %(kept)s AND coalesce(expires_at, finished_at) < now() - %(kept)s
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        """,
        {"kept": ROW_RETENTION, "limit": limit},
    ).rowcount


def count_open_chunks(conn: Conn, render_id: UUID) -> int:
    """How many chunks have still to be drawn."""
    found = conn.execute("SELECT count(*) FROM render_chunks WHERE job_id = %s AND status = 'pending'", (render_id,))
    return int(exactly_one(found)[0])
