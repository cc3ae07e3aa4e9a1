"""Closing of organizations in PostgreSQL, its reversal, and the erasure of the organization's row.

A closed organization pays nothing, and only its members see it. It is erased after RESTORE_PERIOD. Erasure and reversal
lock the row, and then read the clock: an organization is restored whole, or not at all.
"""

from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra.db import Conn
from shared.organizations import store
from shared.organizations.rules import RESTORE_PERIOD


def close(conn: Conn, org_id: UUID, *, after: timedelta = timedelta(0)) -> None:
    """Close the organization after this time. The caller holds the lock of `store.lock`."""
    conn.execute(
        "UPDATE organizations SET closed_at = now() + %(after)s, updated_at = now() WHERE id = %(id)s",
        {"id": org_id, "after": after},
    )


def keep_open(conn: Conn, org_id: UUID) -> None:
    """Cancel a closing that is still ahead. The caller holds the lock of `store.lock`."""
    conn.execute("UPDATE organizations SET closed_at = NULL WHERE id = %(id)s AND closed_at > now()", {"id": org_id})


def restore(conn: Conn, org_id: UUID) -> bool:
    """Open a closed organization again. Return False if it is too late. The caller holds the lock of `store.lock`."""
    # clock_timestamp, because the transaction may have begun before the lock was free.
    restored = conn.execute(
        """
        UPDATE organizations
        SET closed_at = NULL, restored_at = CASE WHEN closed_at <= now() THEN now() ELSE restored_at END,
            updated_at = now()
        WHERE id = %(id)s AND erased_at IS NULL AND closed_at > clock_timestamp() - %(period)s
        """,
        {"id": org_id, "period": RESTORE_PERIOD},
    )
    return restored.rowcount == 1


def list_all(conn: Conn, *, only_closed: bool) -> list[tuple[UUID, str, str, datetime | None]]:
    """Return id, slug, name and `closed_at` of organizations that are not erased, by slug."""
    return conn.execute(
        """
        SELECT id, slug, name, closed_at FROM organizations
        WHERE erased_at IS NULL AND (closed_at IS NOT NULL OR NOT %(only_closed)s) ORDER BY slug
        """,
        {"only_closed": only_closed},
    ).fetchall()


def list_due(conn: Conn) -> list[UUID]:
    """Return the organizations that can no longer be restored and are not erased, the first one closed first."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id FROM organizations WHERE closed_at <= now() - %(period)s AND erased_at IS NULL
            ORDER BY closed_at
            """,
            {"period": RESTORE_PERIOD},
        ).fetchall()


def lock_due(conn: Conn, org_id: UUID) -> bool:
    """Lock an organization. Return whether it can no longer be restored and is not erased."""
    # The read is a statement of its own: a statement that waits for the lock and reads shows the row before the wait.
    store.lock(conn, org_id)
    row = conn.execute(
        """
        SELECT FROM organizations
        WHERE id = %(id)s AND closed_at <= clock_timestamp() - %(period)s AND erased_at IS NULL
        """,
        {"id": org_id, "period": RESTORE_PERIOD},
    ).fetchone()
    return row is not None


def erase(conn: Conn, org_id: UUID) -> None:
    """Delete memberships, invitations, templates and the design, revoke API keys, erase the row. The slug stays.

    The caller holds the lock of `lock_due`.
    """
    conn.execute("DELETE FROM memberships WHERE org_id = %(id)s", {"id": org_id})
    conn.execute("DELETE FROM invitations WHERE org_id = %(id)s", {"id": org_id})
    conn.execute("DELETE FROM label_templates WHERE org_id = %(id)s", {"id": org_id})
    conn.execute("DELETE FROM organization_designs WHERE org_id = %(id)s", {"id": org_id})
    # Scans and the audit log refer to API keys.
    conn.execute(
        """
        UPDATE api_keys SET name = 'erased', created_by = NULL, revoked_at = coalesce(revoked_at, now())
        WHERE org_id = %(id)s
        """,
        {"id": org_id},
    )
    conn.execute(
        """
        UPDATE organizations
        SET name = 'erased', url = NULL, fair_play = NULL, position_retention_days = DEFAULT, color = NULL,
            color_light = NULL, color_dark = NULL, logo = NULL, logo_digest = NULL, erased_at = now()
        WHERE id = %(id)s
        """,
        {"id": org_id},
    )
