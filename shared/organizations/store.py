"""Organizations and their members in PostgreSQL."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from shared.errors import LastOwner
from shared.infra import db
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, LOWEST, uuid7
from shared.organizations.rules import Role, has_owner_after, slugify


@dataclass(frozen=True)
class Organization:
    """An organization, and the role in it of the player who reads it."""

    id: UUID
    name: str
    slug: str
    url: str | None
    role: Role
    fair_play: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class PublicOrganization:
    """The public part of an organization: its name, and the target of its own code."""

    name: str
    url: str | None


@dataclass(frozen=True)
class Member:
    """A player with a role in an organization."""

    player_id: UUID
    username: str
    role: Role
    created_at: datetime


def get_role(conn: Conn, org_id: UUID, player_id: UUID) -> Role | None:
    """Return the player's role. None if the player is not a member, or there is no such organization."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        role: Role | None = cursor.execute(
            "SELECT role FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
            {"org_id": org_id, "player_id": player_id},
        ).fetchone()
    return role


def get_session_and_role(
    conn: Conn, org_id: UUID | None, player_id: UUID, session_id: UUID
) -> tuple[bool, Role | None]:
    """Return whether the session is active, and the player's role in the organization: None if not a member.

    Both are read in one round trip, because every request of a member needs both.
    """
    return db.exactly_one(
        conn.execute(
            """
            SELECT EXISTS (
                       SELECT FROM sessions
                       WHERE id = %(session_id)s AND player_id = %(player_id)s AND revoked_at IS NULL
                         AND expires_at > now()
                   ),
                   (SELECT role FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s)
            """,
            {"org_id": org_id, "player_id": player_id, "session_id": session_id},
        )
    )


def exists(conn: Conn, org_id: UUID) -> bool:
    row = conn.execute("SELECT FROM organizations WHERE id = %(id)s", {"id": org_id}).fetchone()
    return row is not None


def get_slug(conn: Conn, org_id: UUID) -> str:
    """Return the slug of an organization that exists."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        slug: str = db.exactly_one(cursor.execute("SELECT slug FROM organizations WHERE id = %(id)s", {"id": org_id}))
    return slug


def find_id_by_slug(conn: Conn, slug: str) -> UUID | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        org_id: UUID | None = cursor.execute(
            "SELECT id FROM organizations WHERE slug = %(slug)s", {"slug": slug}
        ).fetchone()
    return org_id


def get_public(conn: Conn, slug: str) -> PublicOrganization | None:
    """Return the public part of the organization with this slug."""
    with conn.cursor(row_factory=class_row(PublicOrganization)) as cursor:
        return cursor.execute("SELECT name, url FROM organizations WHERE slug = %(slug)s", {"slug": slug}).fetchone()


def find(conn: Conn, org_id: UUID, player_id: UUID) -> Organization | None:
    """Return the organization with the player's role. None if the player is not a member."""
    with conn.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(
            """
            SELECT o.id, o.name, o.slug, o.url, m.role, o.fair_play, o.created_at, o.updated_at
            FROM memberships m JOIN organizations o ON o.id = m.org_id
            WHERE m.org_id = %(org_id)s AND m.player_id = %(player_id)s
            """,
            {"org_id": org_id, "player_id": player_id},
        ).fetchone()


# `ANY` of one player keeps it in the order: sorted by the organization alone, a plan may walk through the members of
# every organization.
SELECT_OF_PLAYER = """
    SELECT o.id, o.name, o.slug, o.url, m.role, o.fair_play, o.created_at, o.updated_at
    FROM memberships m JOIN organizations o ON o.id = m.org_id
    WHERE m.player_id = ANY (ARRAY[%(player_id)s::uuid]) AND m.org_id < %(before)s
    ORDER BY m.player_id DESC, m.org_id DESC LIMIT %(limit)s
"""


def list_for_player(conn: Conn, player_id: UUID, *, limit: int, before: UUID | None = None) -> list[Organization]:
    """Return the organizations that the player is a member of, newest first, after the organization `before`."""
    with conn.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(
            SELECT_OF_PLAYER, {"player_id": player_id, "before": before or HIGHEST, "limit": limit}
        ).fetchall()


@translate_constraint_errors()
def add(conn: Conn, owner: UUID, name: str, slug: str | None, url: str | None) -> UUID:
    """Store an organization with its first owner, and return its id. Without a slug, make one from the name.

    Raise SlugTaken if another organization has the slug.
    """
    org_id = uuid7()
    if slug is not None:
        conn.execute(
            "INSERT INTO organizations (id, name, slug, url) VALUES (%(id)s, %(name)s, %(slug)s, %(url)s)",
            {"id": org_id, "name": name, "slug": slug, "url": url},
        )
    else:
        for candidate in _slug_candidates(name):
            added = conn.execute(
                """
                INSERT INTO organizations (id, name, slug, url) VALUES (%(id)s, %(name)s, %(slug)s, %(url)s)
                ON CONFLICT ON CONSTRAINT organizations_slug_key DO NOTHING
                """,
                {"id": org_id, "name": name, "slug": candidate, "url": url},
            )
            if added.rowcount:
                break
    conn.execute(
        "INSERT INTO memberships (org_id, player_id, role) VALUES (%(org_id)s, %(player_id)s, 'owner')",
        {"org_id": org_id, "player_id": owner},
    )
    return org_id


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
    """Store an organization's name, slug, URL and fair-play rules. Raise SlugTaken."""
    fair_play = organization.fair_play and Jsonb(organization.fair_play)
    conn.execute(
        """
        UPDATE organizations
        SET name = %(name)s, slug = %(slug)s, url = %(url)s, fair_play = %(fair_play)s, updated_at = now()
        WHERE id = %(id)s
        """,
        {
            "id": organization.id,
            "name": organization.name,
            "slug": organization.slug,
            "url": organization.url,
            "fair_play": fair_play,
        },
    )


# `ANY` of one organization keeps it in the order: sorted by the player alone, a plan may walk through the members of
# every organization.
SELECT_MEMBERS = """
    SELECT m.player_id, p.username, m.role, m.created_at
    FROM memberships m JOIN players p ON p.id = m.player_id
    WHERE m.org_id = ANY (ARRAY[%(org_id)s::uuid]) AND m.player_id > %(after)s
    ORDER BY m.org_id, m.player_id LIMIT %(limit)s
"""


def list_members(conn: Conn, org_id: UUID, *, limit: int, after: UUID | None = None) -> list[Member]:
    """Return members in the order in which they registered, after the player `after`."""
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(SELECT_MEMBERS, {"org_id": org_id, "after": after or LOWEST, "limit": limit}).fetchall()


def find_member(conn: Conn, org_id: UUID, player_id: UUID) -> Member | None:
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(
            """
            SELECT m.player_id, p.username, m.role, m.created_at
            FROM memberships m JOIN players p ON p.id = m.player_id
            WHERE m.org_id = %(org_id)s AND m.player_id = %(player_id)s
            """,
            {"org_id": org_id, "player_id": player_id},
        ).fetchone()


@translate_constraint_errors()
def add_member(conn: Conn, org_id: UUID, username: str, role: Role) -> UUID | None:
    """Add the player with this username, in any letter case. None if no player has it. Raise AlreadyMember."""
    # FOR SHARE: the statement waits for an erasure of the player, or goes first. An erased owner would otherwise count
    # as one, and the last real owner could leave.
    with conn.cursor(row_factory=scalar_row) as cursor:
        player_id: UUID | None = cursor.execute(
            """
            INSERT INTO memberships (org_id, player_id, role)
            SELECT %(org_id)s, id, %(role)s FROM players
            WHERE lower(username) = lower(%(username)s) AND erased_at IS NULL FOR SHARE
            RETURNING player_id
            """,
            {"org_id": org_id, "role": role, "username": username},
        ).fetchone()
    return player_id


def lock_owners(conn: Conn, org_id: UUID) -> set[UUID]:
    """Lock the organization, and return its owners. Every change of a member calls this first."""
    # The read is a statement of its own: a statement that waits for the lock and reads shows the owners before the
    # wait.
    lock(conn, org_id)
    with conn.cursor(row_factory=scalar_row) as cursor:
        owners: list[UUID] = cursor.execute(
            "SELECT player_id FROM memberships WHERE org_id = %(org_id)s AND role = 'owner'", {"org_id": org_id}
        ).fetchall()
    return set(owners)


def set_role(conn: Conn, org_id: UUID, player_id: UUID, role: Role) -> bool:
    """Change a member's role. Return False if the player is not a member."""
    changed = conn.execute(
        "UPDATE memberships SET role = %(role)s WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
        {"org_id": org_id, "player_id": player_id, "role": role},
    )
    return changed.rowcount == 1


def remove_member(conn: Conn, org_id: UUID, player_id: UUID) -> bool:
    """Remove a member. Return False if the player is not a member."""
    deleted = conn.execute(
        "DELETE FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
        {"org_id": org_id, "player_id": player_id},
    )
    return deleted.rowcount == 1


def erase_player(conn: Conn, player_id: UUID) -> list[UUID]:
    """Remove the player from all organizations, and return their ids.

    Raise LastOwner if an organization would be left without an owner.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        org_ids: list[UUID] = cursor.execute(
            "SELECT org_id FROM memberships WHERE player_id = %(player_id)s ORDER BY org_id", {"player_id": player_id}
        ).fetchall()
    # One organization after the other, by id: two erasures cannot wait for each other.
    for org_id in org_ids:
        owners = lock_owners(conn, org_id)
        if player_id in owners and not has_owner_after(owners, player_id, None):
            raise LastOwner(f"You are the last owner of organization {org_id}. Make another member an owner first.")
        remove_member(conn, org_id, player_id)
    return org_ids
