"""Generated codes in PostgreSQL, whose clock alone decides when a code has expired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.errors import QuotaExceeded
from shared.generated_codes.rules import TOMBSTONE_RETENTION, GeneratedCode, GenerateRequest
from shared.images.image_spec import Format
from shared.infra import leases
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import uuid7
from shared.infra.leases import LeasedTable

PENDING_CODES = LeasedTable(
    name="generated_codes",
    columns="""
        id, created_by, data, format, size, error_correction, expires_at,
        coalesce(expires_at <= now(), false) AS is_expired, status, attempts
    """,
    row=class_row(GeneratedCode),
)


@dataclass(frozen=True)
class StoredImage:
    """The bytes of an image, and the digest of everything that determines them."""

    digest: str
    data: bytes


@dataclass(frozen=True)
class PurgeResult:
    """The number of codes that a purge deleted, and the size of their images."""

    codes: int
    image_bytes: int


def check_quota(conn: Conn, player_id: UUID, *, limit: int, limit_mb: int) -> None:
    """Raise QuotaExceeded if the player has `limit` codes, or images of `limit_mb`. Expired codes do not count.

    Call it before `add`. The player stays locked until the transaction ends.
    """
    # The count is a statement of its own: it must see the codes that were added while this one waited for the lock.
    conn.execute("SELECT FROM players WHERE id = %(id)s FOR NO KEY UPDATE", {"id": player_id})
    codes, image_bytes = exactly_one(
        conn.execute(
            """
            SELECT count(DISTINCT g.id), coalesce(sum(octet_length(i.data)), 0)
            FROM generated_codes g LEFT JOIN generated_images i ON i.code_id = g.id
            WHERE g.created_by = %(player_id)s AND (g.expires_at IS NULL OR g.expires_at > now())
            """,
            {"player_id": player_id},
        )
    )
    hint = "Delete one, or wait until one expires."
    if codes >= limit:
        raise QuotaExceeded("MAX_GENERATED_CODES_PER_PLAYER", codes, limit, "generated codes of this player", hint)
    megabytes = int(image_bytes) // 1_000_000
    if megabytes >= limit_mb:
        raise QuotaExceeded("MAX_GENERATED_MB_PER_PLAYER", megabytes, limit_mb, "MB for images of this player", hint)


def add(conn: Conn, created_by: UUID | None, request: GenerateRequest, *, ttl: timedelta | None) -> GeneratedCode:
    """Insert a pending code that expires after `ttl`; None: never."""
    with conn.cursor(row_factory=class_row(GeneratedCode)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                INSERT INTO generated_codes (id, created_by, data, format, size, error_correction, expires_at)
                VALUES (%(id)s, %(created_by)s, %(data)s, %(format)s, %(size)s, %(error_correction)s, now() + %(ttl)s)
                RETURNING id, created_by, data, format, size, error_correction, expires_at, false AS is_expired,
                          status, attempts
                """,
                {
                    "id": uuid7(),
                    "created_by": created_by,
                    "data": request.data,
                    "format": request.format,
                    "size": request.size,
                    "error_correction": request.error_correction,
                    "ttl": ttl,
                },
            )
        )


def find(conn: Conn, code_id: UUID) -> GeneratedCode | None:
    """Return the code, also if it has expired. Return None if it does not exist or was purged."""
    with conn.cursor(row_factory=class_row(GeneratedCode)) as cursor:
        return cursor.execute(
            """
            SELECT id, created_by, data, format, size, error_correction, expires_at,
                   coalesce(expires_at <= now(), false) AS is_expired, status, attempts
            FROM generated_codes WHERE id = %(id)s
            """,
            {"id": code_id},
        ).fetchone()


def has_tombstone(conn: Conn, code_id: UUID) -> bool:
    """True if the code existed, expired and was purged."""
    return bool(conn.execute("SELECT FROM generated_tombstones WHERE id = %(id)s", {"id": code_id}).rowcount)


def get_image(conn: Conn, code_id: UUID, as_format: Format) -> StoredImage | None:
    """Return the stored image of this format."""
    with conn.cursor(row_factory=class_row(StoredImage)) as cursor:
        return cursor.execute(
            "SELECT digest, data FROM generated_images WHERE code_id = %(id)s AND format = %(format)s",
            {"id": code_id, "format": as_format},
        ).fetchone()


def store_image(conn: Conn, code_id: UUID, as_format: Format, image: StoredImage) -> None:
    """Store an image unless one of this format exists. In the requested format, it makes the code ready.

    Stores nothing if the code was deleted.
    """
    # Locks the row of the code, so it waits for a worker that is storing the same image.
    conn.execute(
        """
        INSERT INTO generated_images (code_id, format, digest, data)
        SELECT id, %(format)s, %(digest)s, %(data)b FROM generated_codes WHERE id = %(id)s FOR NO KEY UPDATE
        ON CONFLICT DO NOTHING
        """,
        {"id": code_id, "format": as_format, "digest": image.digest, "data": image.data},
    )
    conn.execute(
        """
        UPDATE generated_codes SET status = 'ready', last_error = NULL, lease_token = NULL, lease_until = NULL
        WHERE id = %(id)s AND format = %(format)s AND status <> 'ready'
        """,
        {"id": code_id, "format": as_format},
    )


def settle(conn: Conn, token: UUID, images: Mapping[UUID, StoredImage]) -> int:
    """Store the images of the codes that the token still leases, in their requested formats, and make these codes
    ready. Return how many became ready."""
    held = [row[0] for row in leases.lock_held(conn, PENDING_CODES, token, list(images)).fetchall()]
    return conn.execute(
        """
        WITH rendered AS (
            SELECT * FROM unnest(%(ids)s::uuid[], %(digests)s::text[], %(images)b::bytea[]) r (id, digest, data)
        ), ready_codes AS (
            UPDATE generated_codes g SET status = 'ready', last_error = NULL, lease_token = NULL, lease_until = NULL
            FROM rendered r WHERE g.id = r.id
            RETURNING g.id, g.format
        )
        INSERT INTO generated_images (code_id, format, digest, data)
        SELECT id, ready_codes.format, digest, data FROM ready_codes JOIN rendered USING (id)
        ON CONFLICT DO NOTHING
        """,
        {
            "ids": held,
            "digests": [images[code_id].digest for code_id in held],
            "images": [images[code_id].data for code_id in held],
        },
    ).rowcount


def dead_letter(conn: Conn, token: UUID, code_ids: Sequence[UUID]) -> list[UUID]:
    """Give up the codes that the token still leases. Return their ids."""
    ids = [row[0] for row in leases.lock_held(conn, PENDING_CODES, token, code_ids).fetchall()]
    conn.execute(
        """
        UPDATE generated_codes SET status = 'failed', lease_token = NULL, lease_until = NULL
        WHERE id = ANY (%(ids)s)
        """,
        {"ids": ids},
    )
    return ids


def delete(conn: Conn, code_id: UUID) -> None:
    """Delete a code and its images without a tombstone: later requests get 404 instead of 410."""
    conn.execute("DELETE FROM generated_codes WHERE id = %(id)s", {"id": code_id})


def purge_expired(conn: Conn, *, limit: int) -> PurgeResult:
    """Delete up to `limit` expired codes and their images, and insert a tombstone for each."""
    # SKIP LOCKED: two purges side by side delete different codes, and neither waits for a request that reads one.
    codes, image_bytes = exactly_one(
        conn.execute(
            """
            WITH expired_codes AS (
                SELECT id FROM generated_codes WHERE expires_at <= now()
                ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            ), deleted_images AS (
                DELETE FROM generated_images i USING expired_codes e WHERE i.code_id = e.id
                RETURNING octet_length(i.data) AS bytes
            ), deleted_codes AS (
                DELETE FROM generated_codes g USING expired_codes e WHERE g.id = e.id RETURNING g.id, g.expires_at
            ), inserted_tombstones AS (
                INSERT INTO generated_tombstones (id, expires_at) SELECT id, expires_at FROM deleted_codes
                ON CONFLICT DO NOTHING
            )
            SELECT (SELECT count(*) FROM deleted_codes), (SELECT coalesce(sum(bytes), 0) FROM deleted_images)
            """,
            {"limit": limit},
        )
    )
    return PurgeResult(int(codes), int(image_bytes))


def purge_tombstones(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` tombstones whose retention has ended. Return how many."""
    return conn.execute(
        """
        DELETE FROM generated_tombstones WHERE id = ANY (ARRAY (
            SELECT id FROM generated_tombstones WHERE expires_at < now() - %(retention)s
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"retention": TOMBSTONE_RETENTION, "limit": limit},
    ).rowcount


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Delete the codes that the player generated, with their images."""
    conn.execute("DELETE FROM generated_codes WHERE created_by = %(player_id)s", {"player_id": player_id})
