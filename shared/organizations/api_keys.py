"""API keys: credentials of an organization's machines.

A key is `wm_`, a prefix of twelve characters, `_` and a secret of 256 random bits. Prefix and secret are lower-case
hex. Only the key's SHA-256 is stored.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal, Self, get_args
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.errors import (
    CredentialsExpired,
    CredentialsInvalid,
    CredentialsMalformed,
    CredentialsRevoked,
    QuotaExceeded,
)
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, uuid7
from shared.organizations import store as organizations
from shared.organizations.rules import Role

Scope = Literal["scan", "codes:read", "codes:write", "renders", "analytics", "redeem", "track"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
KEY_PATTERN = re.compile(r"(?P<prefix>wm_[0-9a-f]{12})_[0-9a-f]{64}")
"""The form of a key, also for scanners that search files for secrets."""


# `ANY` of one organization keeps it in the order: sorted by the id alone, a plan may walk the primary key through the
# keys of every organization.
SELECT_PAGE = """
    SELECT id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at FROM api_keys
    WHERE org_id = ANY (ARRAY[%(org_id)s::uuid]) AND revoked_at IS NULL AND id < %(before)s
    ORDER BY org_id DESC, id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True)
class ApiKey:
    """The key that authenticates a request."""

    id: UUID
    org_id: UUID
    scopes: tuple[Scope, ...]
    prefix: str

    @property
    def role(self) -> Role:
        """The role whose view of codes the key has. A key that may set a puzzle's solution may also read it."""
        return "admin" if "codes:write" in self.scopes else "member"


@dataclass(frozen=True)
class ApiKeyInfo:
    """A key as its managers see it, without the secret."""

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
    """A new key with its secret, which is never stored."""

    prefix: str
    secret: bytes

    @classmethod
    def new(cls) -> Self:
        return cls(f"wm_{secrets.token_hex(6)}", secrets.token_bytes(32))

    @property
    def text(self) -> str:
        return f"{self.prefix}_{self.secret.hex()}"


def key_digest(text: str) -> bytes:
    """Return the digest that is stored for a key."""
    # A slow hash would add nothing: 2^256 secrets cannot be tried.
    return sha256(text.encode()).digest()


def add(
    conn: Conn,
    org_id: UUID,
    new_key: NewApiKey,
    *,
    name: str,
    scopes: list[Scope],
    expires_at: datetime | None = None,
    created_by: UUID | None = None,
) -> ApiKeyInfo:
    """Store a new key of the organization: its digest, not the key."""
    with conn.cursor(row_factory=class_row(ApiKeyInfo)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                INSERT INTO api_keys (id, org_id, name, prefix, digest, scopes, expires_at, created_by)
                VALUES (%(id)s, %(org_id)s, %(name)s, %(prefix)s, %(digest)s, %(scopes)s, %(expires_at)s,
                        %(created_by)s)
                RETURNING id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at
                """,
                {
                    "id": uuid7(),
                    "org_id": org_id,
                    "name": name,
                    "prefix": new_key.prefix,
                    "digest": key_digest(new_key.text),
                    "scopes": scopes,
                    "expires_at": expires_at,
                    "created_by": created_by,
                },
            )
        )


def check_quota(conn: Conn, org_id: UUID, limit: int) -> None:
    """Raise QuotaExceeded if the organization has `limit` keys. Its row stays locked until the transaction ends.

    Call it before `add`. Revoked keys do not count.
    """
    # The count is a statement of its own: it must see the keys that were added while this one waited for the lock.
    organizations.lock(conn, org_id)
    (keys,) = exactly_one(
        conn.execute(
            "SELECT count(*) FROM api_keys WHERE org_id = %(org_id)s AND revoked_at IS NULL", {"org_id": org_id}
        )
    )
    if keys >= limit:
        raise QuotaExceeded(
            "MAX_API_KEYS_PER_ORGANIZATION", keys, limit, "API keys of this organization", "Revoke one first."
        )


def authenticate(conn: Conn, text: str) -> ApiKey:
    """Return the key. Raise Unauthenticated if it is malformed, unknown, revoked or expired, or belongs to a closed
    organization.

    Stores the time of use if the last one is older than a minute.
    """
    match = KEY_PATTERN.fullmatch(text)
    if match is None:
        raise CredentialsMalformed
    row = conn.execute(
        """
        SELECT k.id, k.org_id, k.scopes, k.prefix, k.digest,
               coalesce(k.last_used_at < now() - interval '1 minute', true),
               k.revoked_at IS NULL AND coalesce(o.closed_at > now(), true), coalesce(k.expires_at > now(), true)
        FROM api_keys k JOIN organizations o ON o.id = k.org_id WHERE k.prefix = %(prefix)s
        """,
        {"prefix": match["prefix"]},
    ).fetchone()
    if row is None:
        raise CredentialsInvalid
    key_id, org_id, scopes, prefix, digest, is_use_due, is_active, is_current = row
    # Before the state of the key: only its holder learns that.
    if not hmac.compare_digest(digest, key_digest(text)):
        raise CredentialsInvalid
    if not is_active:
        raise CredentialsRevoked
    if not is_current:
        raise CredentialsExpired
    if is_use_due:
        _record_use(conn, key_id)
    return ApiKey(key_id, org_id, tuple(scopes), prefix)


def _record_use(conn: Conn, key_id: UUID) -> None:
    # SKIP LOCKED: requests with the same key do not wait for each other, and one of them records the use.
    conn.execute(
        """
        UPDATE api_keys SET last_used_at = now() WHERE id = (
            SELECT id FROM api_keys WHERE id = %(id)s FOR NO KEY UPDATE SKIP LOCKED)
        """,
        {"id": key_id},
    )


def list_for_organization(conn: Conn, org_id: UUID, *, limit: int, before: UUID | None = None) -> list[ApiKeyInfo]:
    """Return the organization's keys that are not revoked, newest first, after the key `before`."""
    with conn.cursor(row_factory=class_row(ApiKeyInfo)) as cursor:
        return cursor.execute(SELECT_PAGE, {"org_id": org_id, "before": before or HIGHEST, "limit": limit}).fetchall()


def find_organization_id(conn: Conn, key_id: UUID) -> UUID | None:
    """Return the id of the key's organization, or None if the key does not exist."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        org_id: UUID | None = cursor.execute("SELECT org_id FROM api_keys WHERE id = %(id)s", {"id": key_id}).fetchone()
    return org_id


def revoke(conn: Conn, org_id: UUID, key_id: UUID) -> ApiKeyInfo | None:
    """Revoke a key of the organization. Return None if it has no such key, or the key is already revoked."""
    with conn.cursor(row_factory=class_row(ApiKeyInfo)) as cursor:
        return cursor.execute(
            """
            UPDATE api_keys SET revoked_at = now()
            WHERE org_id = %(org_id)s AND id = %(id)s AND revoked_at IS NULL
            RETURNING id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at
            """,
            {"org_id": org_id, "id": key_id},
        ).fetchone()
