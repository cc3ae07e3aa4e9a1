"""The tag that cached statistics are named by, in PostgreSQL."""

from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra.db import Conn


def cache_version(conn: Conn, org_id: UUID) -> str:
    """What statistics computed from now on are named by. Read it before what they count."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute(
            "SELECT version FROM statistics_cache_versions WHERE org_id = %s", (org_id,)
        ).fetchone()
    return str(found)


def bump_version(conn: Conn, org_id: UUID) -> None:
    """Let no cached statistics of the organization outlive this transaction.

    The last statement of the transaction that changes what they count: until it ends, others who change it wait here.
    """
    conn.execute(
        """
        INSERT INTO statistics_cache_versions (org_id) VALUES (%s)
        ON CONFLICT (org_id) DO UPDATE SET version = gen_random_uuid()
        """,
        (org_id,),
    )


def code_cache_version(conn: Conn, org_id: UUID, qr_id: UUID) -> str | None:
    """The same for a code of the organization; None if it has no such code."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: str | None = cursor.execute(
            """
            SELECT coalesce(version::text, 'None')
            FROM qr_codes q LEFT JOIN statistics_cache_versions v ON v.org_id = q.org_id
            WHERE q.org_id = %s AND q.id = %s AND q.deleted_at IS NULL
            """,
            (org_id, qr_id),
        ).fetchone()
    return found
