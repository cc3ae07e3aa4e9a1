"""Rotating codes and the screens that show them, in PostgreSQL.

The token of a screen's link is 256 random bits in URL-safe base64. Only its SHA-256 is stored.
"""

import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, kwargs_row, scalar_row

from shared.codes.rotation import Rotation
from shared.errors import Gone, NotFound, TooManyScreens
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, uuid7

MAX_SCREENS = 20
"""Of one code."""


@dataclass(frozen=True)
class Screen:
    """A link that shows a code on a screen. `last_seen_at` is exact to the minute, None if it was never opened."""

    id: UUID
    name: str
    qr_id: UUID
    code: str
    created_at: datetime
    last_seen_at: datetime | None


@dataclass(frozen=True)
class NamedCode:
    """A rotating code, as a screen is created for it."""

    id: UUID
    code: str
    description: str


@dataclass(frozen=True)
class RotatingCode:
    """A rotating code with what a screen shows, at the time `now` of PostgreSQL. No clock of a web server counts.

    `is_over` is true if the code has expired or was deleted, or its organization is closed.
    """

    id: UUID
    org_id: UUID
    code: str
    description: str
    rotation: Rotation
    is_over: bool
    now: datetime

    @property
    def step_mac(self) -> str:
        """The `{step}.{mac}` that screens show now."""
        return self.rotation.sign(self.rotation.step_at(self.now))

    @property
    def seconds_left(self) -> int:
        """Seconds until the next step, rounded up: a client that waits for them gets the next one."""
        left = self.rotation.end_of(self.rotation.step_at(self.now)) - self.now
        return max(1, math.ceil(left.total_seconds()))


SELECT_ROTATING = """
    SELECT q.id, q.org_id, q.code, q.description, q.rotation_seconds, q.rotation_secret, now() AS now,
           q.deleted_at IS NOT NULL OR coalesce(q.expires_at <= now(), false) OR coalesce(o.closed_at <= now(), false)
               AS is_over
    FROM qr_codes q JOIN organizations o ON o.id = q.org_id
"""
SELECT_SCREEN = """
    SELECT s.id, s.name, s.qr_code_id AS qr_id, q.code, s.created_at, s.last_seen_at
    FROM code_screens s JOIN qr_codes q ON q.id = s.qr_code_id
"""
# `ANY` of one organization keeps it in the order, so that the plan reads the index of its screens. The code of a screen
# is a LATERAL of at most one row: no plan starts from the organization's codes, whatever their statistics are.
SELECT_PAGE = """
    SELECT s.id, s.name, s.qr_code_id AS qr_id, q.code, s.created_at, s.last_seen_at
    FROM code_screens s
    CROSS JOIN LATERAL (SELECT c.code FROM qr_codes c WHERE c.id = s.qr_code_id AND c.deleted_at IS NULL LIMIT 1) q
    WHERE s.org_id = ANY (ARRAY[%(org_id)s::uuid]) AND s.id < %(before)s
      AND (%(qr_id)s::uuid IS NULL OR s.qr_code_id = %(qr_id)s)
    ORDER BY s.org_id DESC, s.id DESC LIMIT %(limit)s
"""


def _to_rotating(rotation_seconds: int, rotation_secret: bytes, **columns: Any) -> RotatingCode:
    return RotatingCode(rotation=Rotation(rotation_seconds, rotation_secret), **columns)


def find(conn: Conn, org_id: UUID, qr_id: UUID) -> RotatingCode | None:
    """Return a code of the organization. None if it does not rotate, or the organization has no such code."""
    with conn.cursor(row_factory=kwargs_row(_to_rotating)) as cursor:
        return cursor.execute(
            SELECT_ROTATING
            + "WHERE q.rotating AND q.org_id = %(org_id)s AND q.id = %(qr_id)s AND q.deleted_at IS NULL",
            {"org_id": org_id, "qr_id": qr_id},
        ).fetchone()


def list_codes(conn: Conn, org_id: UUID, *, limit: int) -> list[NamedCode]:
    """Return the organization's rotating codes that have not expired, in the order of their texts."""
    with conn.cursor(row_factory=class_row(NamedCode)) as cursor:
        return cursor.execute(
            """
            SELECT id, code, description FROM qr_codes
            WHERE org_id = %(org_id)s AND rotating AND deleted_at IS NULL AND (expires_at > now()) IS NOT FALSE
            ORDER BY code LIMIT %(limit)s
            """,
            {"org_id": org_id, "limit": limit},
        ).fetchall()


def open_screen(conn: Conn, token: str) -> RotatingCode:
    """Return the code that a screen shows, and store that the screen was seen.

    Raise NotFound if no screen has this token, or its code does not rotate, and Gone if the code is over.
    """
    digest = {"digest": token_digest(token)}
    with conn.cursor(row_factory=kwargs_row(_to_rotating)) as cursor:
        code = cursor.execute(
            SELECT_ROTATING
            + "JOIN code_screens s ON s.qr_code_id = q.id WHERE q.rotating AND s.token_digest = %(digest)s",
            digest,
        ).fetchone()
    if code is None:
        raise NotFound
    if code.is_over:
        raise Gone
    # At most once a minute, although screens ask every few seconds.
    conn.execute(
        """
        UPDATE code_screens SET last_seen_at = now()
        WHERE token_digest = %(digest)s AND coalesce(last_seen_at < now() - interval '1 minute', true)
        """,
        digest,
    )
    return code


def new_token() -> str:
    """Return the secret of a new link."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """Return the digest that is stored for a token."""
    # A slow hash would add nothing: 2^256 tokens cannot be tried.
    return sha256(token.encode("utf-8", "replace")).digest()


def add(conn: Conn, org_id: UUID, qr_id: UUID, name: str, token: str) -> Screen:
    """Store a screen of a code. Raise TooManyScreens. The caller holds the lock of the code."""
    (count,) = exactly_one(
        conn.execute("SELECT count(*) FROM code_screens WHERE qr_code_id = %(qr_id)s", {"qr_id": qr_id})
    )
    if count >= MAX_SCREENS:
        raise TooManyScreens
    screen_id = uuid7()
    conn.execute(
        """
        INSERT INTO code_screens (id, org_id, qr_code_id, name, token_digest)
        VALUES (%(id)s, %(org_id)s, %(qr_id)s, %(name)s, %(digest)s)
        """,
        {"id": screen_id, "org_id": org_id, "qr_id": qr_id, "name": name, "digest": token_digest(token)},
    )
    with conn.cursor(row_factory=class_row(Screen)) as cursor:
        return exactly_one(cursor.execute(SELECT_SCREEN + "WHERE s.id = %(id)s", {"id": screen_id}))


def list_page(
    conn: Conn, org_id: UUID, qr_id: UUID | None = None, *, limit: int, before: UUID | None = None
) -> list[Screen]:
    """Return the screens of an organization, or of one of its codes, newest first, after the screen `before`."""
    params = {"org_id": org_id, "qr_id": qr_id, "before": before or HIGHEST, "limit": limit}
    with conn.cursor(row_factory=class_row(Screen)) as cursor:
        return cursor.execute(SELECT_PAGE, params).fetchall()


def revoke(conn: Conn, org_id: UUID, qr_id: UUID, screen_id: UUID) -> str | None:
    """Delete a screen of a code, and return its name. None if the code has no such screen."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        name: str | None = cursor.execute(
            """
            DELETE FROM code_screens WHERE org_id = %(org_id)s AND qr_code_id = %(qr_id)s AND id = %(id)s
            RETURNING name
            """,
            {"org_id": org_id, "qr_id": qr_id, "id": screen_id},
        ).fetchone()
    return name
