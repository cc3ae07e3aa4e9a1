"""API keys: what an organization's machines sign in with, made, recognized and revoked.

A key is `wm_`, twelve characters that tell it from others, `_`, and 256 random bits, all in lower-case hex. Of such a
secret a plain SHA-256 is enough: nobody can try 2^256 of them, so there is nothing that a slow hash would slow down.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal, Self, get_args
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, uuid7
from shared.organizations.rules import Role

Scope = Literal["scan", "codes:read", "codes:write", "renders", "analytics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
KEY_PATTERN = re.compile(r"(?P<prefix>wm_[0-9a-f]{12})_[0-9a-f]{64}")
"""How a key looks: for us, and for whoever searches files for secrets."""


@dataclass(frozen=True)
class ApiKey:
    """A key that signed a request, as the gate knows it."""

    id: UUID
    org_id: UUID
    scopes: tuple[Scope, ...]
    prefix: str

    @property
    def role(self) -> Role:
        """Whose eyes it sees its organization's codes with: who may set a puzzle's solution may read it."""
        return "admin" if "codes:write" in self.scopes else "member"


@dataclass(frozen=True)
class ApiKeyInfo:
    """A key as those who manage it see it; the key itself is nowhere."""

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, repr=False)
class NewApiKey:
    """A new key, before it is told once and forgotten."""

    prefix: str
    secret: bytes

    @classmethod
    def new(cls) -> Self:
        return cls(f"wm_{secrets.token_hex(6)}", secrets.token_bytes(32))

    @property
    def text(self) -> str:
        return f"{self.prefix}_{self.secret.hex()}"


def key_digest(text: str) -> bytes:
    """What a key is recognized by."""
    return sha256(text.encode()).digest()


def mask_secret(secret: bytes, key_id: UUID, server_secret: str) -> bytes:
    """A key's secret as it may be stored for a retry, or that back again: a one-time pad made from the server's own
    secret and an id that is never used twice."""
    pad = hmac.digest(server_secret.encode(), b"api-key " + key_id.bytes, sha256)
    return bytes(one ^ other for one, other in zip(secret, pad, strict=True))


SELECT_KEY = "SELECT id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at FROM api_keys "


def add(
    conn: Conn,
    org_id: UUID,
    minted: NewApiKey,
    *,
    name: str,
    scopes: list[Scope],
    expires_at: datetime | None = None,
    created_by: UUID | None = None,
) -> ApiKeyInfo:
    """Store a new key of the organization: what it is recognized by, never the key."""
    with conn.cursor(row_factory=class_row(ApiKeyInfo)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                INSERT INTO api_keys (id, org_id, name, prefix, digest, scopes, expires_at, created_by)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
                RETURNING id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at
                """,
                (uuid7(), org_id, name, minted.prefix, key_digest(minted.text), scopes, expires_at, created_by),
            )
        )


def authenticate(conn: Conn, text: str) -> ApiKey | None:
    """The key that this is, if it is one that holds: neither revoked nor expired, at this moment. One look, and a note
    of its use where the last one is older than a minute."""
    form = KEY_PATTERN.fullmatch(text)
    if form is None:
        return None
    row = conn.execute(
        """
        SELECT id, org_id, scopes, prefix, digest, coalesce(last_used_at < now() - interval '1 minute', true)
        FROM api_keys WHERE prefix = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        """,
        (form["prefix"],),
    ).fetchone()
    if row is None:
        return None
    key_id, org_id, scopes, prefix, digest, is_due = row
    if not hmac.compare_digest(digest, key_digest(text)):
        return None
    if is_due:
        _record_use(conn, key_id)
    return ApiKey(key_id, org_id, tuple(scopes), prefix)


def _record_use(conn: Conn, key_id: UUID) -> None:
    """By whoever comes first; nobody waits for it."""
    conn.execute(
        """
        UPDATE api_keys SET last_used_at = now() WHERE id = (
            SELECT id FROM api_keys WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED)
        """,
        (key_id,),
    )


def of_organization(conn: Conn, org_id: UUID, *, limit: int, before: UUID | None = None) -> list[ApiKeyInfo]:
    """The organization's keys but those revoked, newest first, from past `before` on."""
    with conn.cursor(row_factory=class_row(ApiKeyInfo)) as cursor:
        return cursor.execute(
            SELECT_KEY + "WHERE org_id = %s AND revoked_at IS NULL AND id < %s ORDER BY id DESC LIMIT %s",
            (org_id, before or HIGHEST, limit),
        ).fetchall()


def find_organization_id(conn: Conn, key_id: UUID) -> UUID | None:
    """Whose key it is."""
    row = conn.execute("SELECT org_id FROM api_keys WHERE id = %s", (key_id,)).fetchone()
    return row[0] if row else None


def revoke(conn: Conn, org_id: UUID, key_id: UUID) -> ApiKeyInfo | None:
    """End a key of the organization, from the commit on; None if it has no such key, or it was revoked before."""
    with conn.cursor(row_factory=class_row(ApiKeyInfo)) as cursor:
        return cursor.execute(
            """
            UPDATE api_keys SET revoked_at = now() WHERE org_id = %s AND id = %s AND revoked_at IS NULL
            RETURNING id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at
            """,
            (org_id, key_id),
        ).fetchone()
