"""The versions in the names of cached statistics, in PostgreSQL."""

from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra.db import Conn


def cache_version(conn: Conn, org_id: UUID) -> str:
    """Return the version in the names of the organization's statistics. Read it before the rows that they count."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        version: UUID | None = cursor.execute(
            "SELECT version FROM statistics_cache_versions WHERE org_id = %(org_id)s", {"org_id": org_id}
        ).fetchone()
    return str(version)


def bump_version(conn: Conn, org_id: UUID) -> None:
    """Make the cached statistics of the organization unreachable when this transaction commits.

    Call it last before the commit: other transactions that change the organization's counts wait here.
    """
    conn.execute(
        """
        INSERT INTO statistics_cache_versions (org_id) VALUES (%(org_id)s)
        ON CONFLICT (org_id) DO UPDATE SET version = gen_random_uuid()
        """,
        {"org_id": org_id},
    )


def code_cache_version(conn: Conn, org_id: UUID, qr_id: UUID) -> str | None:
    """Return the version for the statistics of a code, or None if the organization does not have this code."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        version: str | None = cursor.execute(
            """
            SELECT coalesce(v.version::text, 'None')
            FROM qr_codes q LEFT JOIN statistics_cache_versions v ON v.org_id = q.org_id
            WHERE q.org_id = %(org_id)s AND q.id = %(qr_id)s AND q.deleted_at IS NULL
            """,
            {"org_id": org_id, "qr_id": qr_id},
        ).fetchone()
    return version
