"""Organizations and their members in PostgreSQL."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from shared.infra import db
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, LOWEST, uuid7
from shared.organizations.rules import Role, slugify


@dataclass(frozen=True)
class Organization:
    """An organization, and the role in it of the player who asked."""

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
    """What an organization shows to everybody: its name, and where its own code leads."""

    name: str
    url: str | None


@dataclass(frozen=True)
class Member:
    """A player in an organization."""

    player_id: UUID
    username: str
    role: Role
    created_at: datetime


ORGANIZATION = """
    SELECT o.id, o.name, o.slug, o.url, m.role, o.fair_play, o.created_at, o.updated_at
    FROM memberships m JOIN organizations o ON o.id = m.org_id
"""
MEMBER = """
    SELECT m.player_id, p.username, m.role, m.created_at
    FROM memberships m JOIN players p ON p.id = m.player_id
"""


def get_role(conn: Conn, org_id: UUID, player_id: UUID) -> Role | None:
    """The player's role; None if they are no member, or there is no such organization."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: Role | None = cursor.execute(
            "SELECT role FROM memberships WHERE org_id = %s AND player_id = %s", (org_id, player_id)
        ).fetchone()
    return found


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
    return conn.execute("SELECT FROM organizations WHERE id = %s", (org_id,)).fetchone() is not None


def get_slug(conn: Conn, org_id: UUID) -> str:
    """The slug of an organization that is there."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: str = db.exactly_one(cursor.execute("SELECT slug FROM organizations WHERE id = %s", (org_id,)))
    return found


def id_of(conn: Conn, slug: str) -> UUID | None:
    """Which organization has this slug."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute("SELECT id FROM organizations WHERE slug = %s", (slug,)).fetchone()
    return found


def get_public(conn: Conn, slug: str) -> PublicOrganization | None:
    """What anybody may see of the organization with this slug."""
    with conn.cursor(row_factory=class_row(PublicOrganization)) as cursor:
        return cursor.execute("SELECT name, url FROM organizations WHERE slug = %s", (slug,)).fetchone()


def find(conn: Conn, org_id: UUID, player_id: UUID) -> Organization | None:
    """The organization as one of its members sees it."""
    with conn.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(ORGANIZATION + "WHERE m.org_id = %s AND m.player_id = %s", (org_id, player_id)).fetchone()


def of_player(conn: Conn, player_id: UUID, *, limit: int, before: UUID | None = None) -> list[Organization]:
    """The organizations a player belongs to, newest first, from past `before` on."""
    with conn.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(
            ORGANIZATION + "WHERE m.player_id = %s AND m.org_id < %s ORDER BY m.org_id DESC LIMIT %s",
            (player_id, before or HIGHEST, limit),
        ).fetchall()


@translate_constraint_errors()
def add(conn: Conn, owner: UUID, name: str, slug: str | None, url: str | None) -> UUID:
    """A new organization with its first owner; returns its id. Without a slug it gets one that reads like the name.

    Raises SlugTaken where the slug that was asked for belongs to another.
    """
    org_id = uuid7()
    if slug is not None:
        conn.execute(
            "INSERT INTO organizations (id, name, slug, url) VALUES (%s, %s, %s, %s)", (org_id, name, slug, url)
        )
    else:
        for candidate in _slug_candidates(name):
            added = conn.execute(
                """
                INSERT INTO organizations (id, name, slug, url) VALUES (%s, %s, %s, %s)
                ON CONFLICT ON CONSTRAINT organizations_slug_key DO NOTHING
                """,
                (org_id, name, candidate, url),
            )
            if added.rowcount:
                break
    conn.execute("INSERT INTO memberships (org_id, player_id, role) VALUES (%s, %s, 'owner')", (org_id, owner))
    return org_id


def _slug_candidates(name: str) -> Iterator[str]:
    """The name's slug, then the same with random endings: counting up would be slow among many of one name."""
    slug = slugify(name)
    yield slug
    while True:
        yield f"{slug}-{secrets.token_hex(4)}"


def lock(conn: Conn, org_id: UUID) -> None:
    """Until the transaction ends, nobody else changes the organization or its owners. Codes may be added meanwhile."""
    conn.execute("SELECT FROM organizations WHERE id = %s FOR NO KEY UPDATE", (org_id,))


@translate_constraint_errors()
def save(conn: Conn, changed: Organization) -> None:
    """Store an organization's name, slug, url and rules of fair play. Raises SlugTaken."""
    conn.execute(
        "UPDATE organizations SET name = %s, slug = %s, url = %s, fair_play = %s, updated_at = now() WHERE id = %s",
        (changed.name, changed.slug, changed.url, changed.fair_play and Jsonb(changed.fair_play), changed.id),
    )


def list_members(conn: Conn, org_id: UUID, *, limit: int, after: UUID | None = None) -> list[Member]:
    """Members, the longest registered first, from past `after` on."""
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(
            MEMBER + "WHERE m.org_id = %s AND m.player_id > %s ORDER BY m.player_id LIMIT %s",
            (org_id, after or LOWEST, limit),
        ).fetchall()


def find_member(conn: Conn, org_id: UUID, player_id: UUID) -> Member | None:
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(MEMBER + "WHERE m.org_id = %s AND m.player_id = %s", (org_id, player_id)).fetchone()


@translate_constraint_errors()
def add_member(conn: Conn, org_id: UUID, username: str, role: Role) -> UUID | None:
    """Add a player by name, whatever the case of its letters. None: nobody has this name. Raises AlreadyMember.

    The lock makes it wait for an erasure of theirs, or go before it: an owner whom nobody is behind would let the last
    real one go.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        added: UUID | None = cursor.execute(
            """
            INSERT INTO memberships (org_id, player_id, role)
            SELECT %s, id, %s FROM players WHERE lower(username) = lower(%s) AND erased_at IS NULL FOR SHARE
            RETURNING player_id
            """,
            (org_id, role, username),
        ).fetchone()
    return added


def lock_owners(conn: Conn, org_id: UUID) -> set[UUID]:
    """The owners, who stay the same until the transaction ends: every change of a member asks here first.

    The lock comes before the look, in a statement of its own: one that both waits and reads would show the owners as
    they were before the wait.
    """
    lock(conn, org_id)
    rows = conn.execute("SELECT player_id FROM memberships WHERE org_id = %s AND role = 'owner'", (org_id,)).fetchall()
    return {player_id for (player_id,) in rows}


def set_role(conn: Conn, org_id: UUID, player_id: UUID, role: Role) -> bool:
    """Whether the player was a member, and has this role now."""
    changed = conn.execute(
        "UPDATE memberships SET role = %s WHERE org_id = %s AND player_id = %s", (role, org_id, player_id)
    )
    return changed.rowcount == 1


def remove_member(conn: Conn, org_id: UUID, player_id: UUID) -> bool:
    """Whether the player was a member, and is none now."""
    gone = conn.execute("DELETE FROM memberships WHERE org_id = %s AND player_id = %s", (org_id, player_id))
    return gone.rowcount == 1
