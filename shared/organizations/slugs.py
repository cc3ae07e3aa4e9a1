"""Slugs in PostgreSQL: which organization each one leads to, also after a change.

A slug stays with its organization. After a change, the old one is an alias. A deleted alias leads nowhere, and only its
organization can use it again.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from shared.errors import SlugDeleted
from shared.infra.db import Conn
from shared.organizations.rules import SLUG


@dataclass(frozen=True)
class SlugAlias:
    """A former slug of an organization. `created_at` is when it was first used."""

    slug: str
    created_at: datetime


def find_current(conn: Conn, slug: str) -> str | None:
    """Return the current slug of the organization that has or had this one. None if no organization ever had it.

    Raises SlugDeleted if the alias was deleted.
    """
    if not re.fullmatch(SLUG, slug):
        return None
    row = conn.execute(
        """
        SELECT o.slug FROM organization_slugs s
        LEFT JOIN organizations o ON o.id = s.org_id AND s.deleted_at IS NULL
        WHERE s.slug = %(slug)s
        """,
        {"slug": slug},
    ).fetchone()
    if row is None:
        return None
    if row[0] is None:
        raise SlugDeleted
    return str(row[0])


def list_aliases(conn: Conn, org_id: UUID, *, limit: int, after: str = "") -> list[SlugAlias]:
    """Return the former slugs of an organization, in order, after the slug `after`."""
    with conn.cursor(row_factory=class_row(SlugAlias)) as cursor:
        return cursor.execute(
            """
            SELECT s.slug, s.created_at FROM organization_slugs s JOIN organizations o ON o.id = s.org_id
            WHERE s.org_id = %(org_id)s AND s.deleted_at IS NULL AND s.slug <> o.slug AND s.slug > %(after)s
            ORDER BY s.slug LIMIT %(limit)s
            """,
            {"org_id": org_id, "after": after, "limit": limit},
        ).fetchall()


def delete_alias(conn: Conn, org_id: UUID, slug: str) -> bool:
    """Let a former slug lead nowhere. Return False if the organization has no such alias.

    The caller holds the lock of the organization, so no other request changes its slug meanwhile.
    """
    if not re.fullmatch(SLUG, slug):
        return False
    deleted = conn.execute(
        """
        UPDATE organization_slugs s SET deleted_at = now() FROM organizations o
        WHERE s.slug = %(slug)s AND s.org_id = %(org_id)s AND o.id = %(org_id)s AND s.slug <> o.slug
          AND s.deleted_at IS NULL
        """,
        {"slug": slug, "org_id": org_id},
    )
    return deleted.rowcount == 1
