"""Organizations in PostgreSQL."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from shared.errors import QuotaExceeded, SlugTaken, TooManySlugs
from shared.infra import db
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, uuid7
from shared.organizations.rules import MAX_SLUGS, Role, slugify


@dataclass(frozen=True)
class Organization:
    """An organization, and the role in it of the player who reads it."""

    id: UUID
    name: str
    slug: str
    url: str | None
    role: Role
    fair_play: dict[str, Any] | None
    position_retention_days: int | None
    color: str | None
    color_light: str | None
    color_dark: str | None
    logo_digest: str | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    is_closed: bool


@dataclass(frozen=True)
class PublicOrganization:
    """The public part of an organization: its name, the target of its own code, and whether it is closed."""

    name: str
    url: str | None
    is_closed: bool


def exists(conn: Conn, org_id: UUID) -> bool:
    """Return whether the organization exists, also if it is closed. An erased one does not."""
    row = conn.execute("SELECT FROM organizations WHERE id = %(id)s AND erased_at IS NULL", {"id": org_id}).fetchone()
    return row is not None


def exists_any(conn: Conn) -> bool:
    """Return whether this installation has had an organization."""
    return conn.execute("SELECT FROM organizations LIMIT 1").fetchone() is not None


def is_closed(conn: Conn, org_id: UUID) -> bool:
    """Return whether the organization is closed or erased."""
    row = conn.execute("SELECT FROM organizations WHERE id = %(id)s AND closed_at <= now()", {"id": org_id}).fetchone()
    return row is not None


def get_slug(conn: Conn, org_id: UUID) -> str:
    """Return the slug of an organization that exists."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        slug: str = db.exactly_one(cursor.execute("SELECT slug FROM organizations WHERE id = %(id)s", {"id": org_id}))
    return slug


def get_name(conn: Conn, org_id: UUID) -> str:
    """Return the name of an organization that exists."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        name: str = db.exactly_one(cursor.execute("SELECT name FROM organizations WHERE id = %(id)s", {"id": org_id}))
    return name


def get_url(conn: Conn, org_id: UUID) -> str | None:
    """Return the website of an organization, or None."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        url: str | None = cursor.execute("SELECT url FROM organizations WHERE id = %(id)s", {"id": org_id}).fetchone()
    return url


def find_id_by_slug(conn: Conn, slug: str) -> UUID | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        org_id: UUID | None = cursor.execute(
            "SELECT id FROM organizations WHERE slug = %(slug)s", {"slug": slug}
        ).fetchone()
    return org_id


def get_public(conn: Conn, slug: str) -> PublicOrganization | None:
    """Return the public part of the organization with this slug."""
    with conn.cursor(row_factory=class_row(PublicOrganization)) as cursor:
        return cursor.execute(
            """
            SELECT name, url, coalesce(closed_at <= now(), false) AS is_closed FROM organizations
            WHERE slug = %(slug)s
            """,
            {"slug": slug},
        ).fetchone()


SELECT_ORGANIZATION = """
    SELECT o.id, o.name, o.slug, o.url, m.role, o.fair_play, o.position_retention_days, o.color,
           o.color_light, o.color_dark, o.logo_digest, o.created_at, o.updated_at, o.closed_at,
           coalesce(o.closed_at <= now(), false) AS is_closed
    FROM memberships m JOIN organizations o ON o.id = m.org_id
"""


def find(conn: Conn, org_id: UUID, player_id: UUID) -> Organization | None:
    """Return the organization with the player's role. None if the player is not a member."""
    with conn.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(
            SELECT_ORGANIZATION + "WHERE m.org_id = %(org_id)s AND m.player_id = %(player_id)s",
            {"org_id": org_id, "player_id": player_id},
        ).fetchone()


def find_by_slug(conn: Conn, slug: str, player_id: UUID) -> Organization | None:
    """Return the organization with the player's role. None if the player is not a member."""
    with conn.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(
            SELECT_ORGANIZATION + "WHERE o.slug = %(slug)s AND m.player_id = %(player_id)s",
            {"slug": slug, "player_id": player_id},
        ).fetchone()


# `ANY` of one player keeps it in the order: sorted by the organization alone, a plan may walk through the members of
# every organization.
SELECT_OF_PLAYER = (
    SELECT_ORGANIZATION
    + """
    WHERE m.player_id = ANY (ARRAY[%(player_id)s::uuid]) AND m.org_id < %(before)s
    ORDER BY m.player_id DESC, m.org_id DESC LIMIT %(limit)s
"""
)


def list_for_player(conn: Conn, player_id: UUID, *, limit: int, before: UUID | None = None) -> list[Organization]:
    """Return the organizations that the player is a member of, newest first, after the organization `before`."""
    with conn.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(
            SELECT_OF_PLAYER, {"player_id": player_id, "before": before or HIGHEST, "limit": limit}
        ).fetchall()


def check_quota(conn: Conn, owner: UUID, limit: int) -> None:
    """Raise QuotaExceeded if the player owns `limit` organizations. The player stays locked until the transaction ends.

    Call it before `add`.
    """
    # The player before any organization, as an erasure does. The count is a statement of its own: it must see the
    # organizations that were added while this one waited for the lock.
    conn.execute("SELECT FROM players WHERE id = %(id)s FOR NO KEY UPDATE", {"id": owner})
    (owned,) = db.exactly_one(
        conn.execute(
            "SELECT count(*) FROM memberships WHERE player_id = %(player_id)s AND role = 'owner'", {"player_id": owner}
        )
    )
    if owned >= limit:
        raise QuotaExceeded(
            "MAX_ORGANIZATIONS_PER_ACCOUNT",
            owned,
            limit,
            "organizations of this account",
            "Give up or delete one first.",
        )


def add(conn: Conn, owner: UUID, name: str, slug: str | None, url: str | None) -> UUID:
    """Store an organization with its first owner, and return its id. Without a slug, make one from the name.

    Raise SlugTaken if another organization has the slug.
    """
    org_id = uuid7()
    for candidate in _slug_candidates(name) if slug is None else (slug,):
        try:
            _insert(conn, org_id, name, candidate, url)
            break
        except SlugTaken:
            if slug is not None:
                raise
    conn.execute(
        "INSERT INTO memberships (org_id, player_id, role) VALUES (%(org_id)s, %(player_id)s, 'owner')",
        {"org_id": org_id, "player_id": owner},
    )
    return org_id


@translate_constraint_errors()
def _insert(conn: Conn, org_id: UUID, name: str, slug: str, url: str | None) -> None:
    """Insert an organization. Raise SlugTaken; the transaction stays usable."""
    with conn.transaction():
        conn.execute(
            "INSERT INTO organizations (id, name, slug, url) VALUES (%(id)s, %(name)s, %(slug)s, %(url)s)",
            {"id": org_id, "name": name, "slug": slug, "url": url},
        )


def _slug_candidates(name: str) -> Iterator[str]:
    """Yield the name's slug, then the slug with random endings."""
    # Random, because counting up is slow among many organizations with one name.
    slug = slugify(name)
    yield slug
    while True:
        yield f"{slug}-{secrets.token_hex(4)}"


def lock(conn: Conn, org_id: UUID) -> None:
    """Lock the organization and its owners until the transaction ends. Codes can be added meanwhile."""
    conn.execute("SELECT FROM organizations WHERE id = %(id)s FOR NO KEY UPDATE", {"id": org_id})


@translate_constraint_errors()
def save(conn: Conn, organization: Organization) -> None:
    """Store an organization's name, slug, URL, fair-play rules and retention. Raise SlugTaken."""
    fair_play = organization.fair_play and Jsonb(organization.fair_play)
    conn.execute(
        """
        UPDATE organizations
        SET name = %(name)s, slug = %(slug)s, url = %(url)s, fair_play = %(fair_play)s,
            position_retention_days = %(position_retention_days)s, color = %(color)s, color_light = %(color_light)s,
            color_dark = %(color_dark)s, updated_at = now()
        WHERE id = %(id)s
        """,
        {
            "id": organization.id,
            "name": organization.name,
            "slug": organization.slug,
            "url": organization.url,
            "fair_play": fair_play,
            "position_retention_days": organization.position_retention_days,
            "color": organization.color,
            "color_light": organization.color_light,
            "color_dark": organization.color_dark,
        },
    )


def check_slugs(conn: Conn, org_id: UUID) -> None:
    """Raise TooManySlugs if a change left more slugs than MAX_SLUGS. The caller holds the lock of `lock`."""
    (used,) = db.exactly_one(
        conn.execute("SELECT count(*) FROM organization_slugs WHERE org_id = %(id)s", {"id": org_id})
    )
    if used > MAX_SLUGS:
        raise TooManySlugs
