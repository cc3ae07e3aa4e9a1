"""Deletion of renders in PostgreSQL: after their retention, with an account, and with an organization."""

from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra.db import Conn
from shared.renders.rules import ROW_RETENTION


def purge(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` renders that ended, and whose file expired, more than ROW_RETENTION ago."""
    # SKIP LOCKED lets several cleanups run side by side. No other lock is taken, so the order does not matter.
    return conn.execute(
        """
        DELETE FROM render_jobs WHERE id = ANY (ARRAY (
            SELECT id FROM render_jobs
            WHERE finished_at < now() - %(retention)s AND coalesce(expires_at, finished_at) < now() - %(retention)s
            ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        )
        """,
        {"retention": ROW_RETENTION, "limit": limit},
    ).rowcount


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Remove the player from the renders that they requested. The renders belong to the organization and remain."""
    conn.execute(
        "UPDATE render_jobs SET requested_by = NULL WHERE requested_by = %(player_id)s", {"player_id": player_id}
    )


def erase_organization(conn: Conn, org_id: UUID, after: UUID, *, limit: int) -> UUID | None:
    """Delete up to `limit` renders of the organization with an id above `after`, open ones too.

    Return the last id, or None after the end. The next cleanup deletes the files, which no render needs.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        last: UUID | None = cursor.execute(
            """
        WITH deleted_jobs AS (
            DELETE FROM render_jobs WHERE id = ANY (ARRAY (
                SELECT id FROM render_jobs WHERE org_id = %(org_id)s AND id > %(after)s ORDER BY id LIMIT %(limit)s
                FOR UPDATE
            ))
            RETURNING id
        )
        SELECT id FROM deleted_jobs ORDER BY id DESC LIMIT 1
        """,
            {"org_id": org_id, "after": after, "limit": limit},
        ).fetchone()
    return last
