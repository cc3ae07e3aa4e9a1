"""Generated codes in PostgreSQL: asked for, read, deleted, and forgotten once expired: by its clock alone."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.generated_codes.rules import TOMBSTONE_RETENTION, GeneratedCode, GenerateRequest
from shared.images.image_spec import Format
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import uuid7

COLUMNS = """
    id, created_by, data, format, size, error_correction, expires_at,
    coalesce(expires_at <= now(), false) AS is_expired, status, attempts
"""


@dataclass(frozen=True)
class StoredImage:
    """A stored picture: the digest of all that determines it, and its bytes."""

    digest: str
    data: bytes


@dataclass(frozen=True)
class PurgeResult:
    """What one batch of cleanup took away: codes, and the bytes of their pictures."""

    codes: int
    image_bytes: int


def add(conn: Conn, created_by: UUID | None, asked: GenerateRequest, *, lasts: timedelta | None) -> GeneratedCode:
    """Store what is asked for, pending. It expires `lasts` from now; None for never."""
    with conn.cursor(row_factory=class_row(GeneratedCode)) as cursor:
        return exactly_one(
            cursor.execute(
                f"""
                INSERT INTO generated_codes (id, created_by, data, format, size, error_correction, expires_at)
                VALUES (%s, %s, %s, %s, %s, %s, now() + %s) RETURNING {COLUMNS}
                """,  # noqa: S608 - a constant
                (uuid7(), created_by, asked.data, asked.format, asked.size, asked.error_correction, lasts),
            )
        )


def find(conn: Conn, code_id: UUID) -> GeneratedCode | None:
    """A code that cleanup has not taken, expired or not."""
    with conn.cursor(row_factory=class_row(GeneratedCode)) as cursor:
        return cursor.execute(
            f"SELECT {COLUMNS} FROM generated_codes WHERE id = %s",  # noqa: S608 - a constant
            (code_id,),
        ).fetchone()


def has_tombstone(conn: Conn, code_id: UUID) -> bool:
    """Whether there was such a code, and cleanup took it."""
    return conn.execute("SELECT FROM generated_tombstones WHERE id = %s", (code_id,)).fetchone() is not None


def get_image(conn: Conn, code_id: UUID, as_format: Format) -> StoredImage | None:
    """The stored picture in this format."""
    with conn.cursor(row_factory=class_row(StoredImage)) as cursor:
        return cursor.execute(
            "SELECT digest, data FROM generated_images WHERE code_id = %s AND format = %s", (code_id, as_format)
        ).fetchone()


def keep(conn: Conn, code_id: UUID, as_format: Format, image: StoredImage) -> None:
    """Store a picture, unless there is one already: the first stays. The code is ready with the one it asked for.

    Locks the code's row, so it waits for a worker that is storing the same. Where the code is gone, nothing is stored.
    """
    conn.execute(
        """
        INSERT INTO generated_images (code_id, format, digest, data)
        SELECT id, %s, %s, %b FROM generated_codes WHERE id = %s FOR NO KEY UPDATE
        ON CONFLICT DO NOTHING
        """,
        (as_format, image.digest, image.data, code_id),
    )
    conn.execute(
        """
        UPDATE generated_codes SET status = 'ready', lease_token = NULL, lease_until = NULL
        WHERE id = %s AND format = %s AND status <> 'ready'
        """,
        (code_id, as_format),
    )


def remove(conn: Conn, code_id: UUID) -> None:
    """Delete a code with its pictures. It leaves no tombstone: nobody is owed the news that it was there."""
    conn.execute("DELETE FROM generated_codes WHERE id = %s", (code_id,))


def purge_expired(conn: Conn, *, limit: int) -> PurgeResult:
    """Delete up to `limit` expired codes with their pictures, in one statement, and leave a tombstone for each.

    SKIP LOCKED: two cleanups side by side take different codes, and neither waits for a retrieval.
    """
    codes, image_bytes = exactly_one(
        conn.execute(
            """
            WITH expired AS (
                SELECT id FROM generated_codes WHERE expires_at <= now()
                ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
            ), images AS (
                DELETE FROM generated_images i USING expired e WHERE i.code_id = e.id
                RETURNING octet_length(i.data) AS n
            ), codes AS (
                DELETE FROM generated_codes g USING expired e WHERE g.id = e.id RETURNING g.id, g.expires_at
            ), tombstones AS (
                INSERT INTO generated_tombstones (id, expires_at) SELECT id, expires_at FROM codes
                ON CONFLICT DO NOTHING
            )
            SELECT (SELECT count(*) FROM codes), (SELECT coalesce(sum(n), 0) FROM images)
            """,
            (limit,),
        )
    )
    return PurgeResult(int(codes), int(image_bytes))


def forget_tombstones(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` tombstones that have stood their time. Returns how many."""
    return conn.execute(
        """
        DELETE FROM generated_tombstones WHERE id IN (
            SELECT id FROM generated_tombstones WHERE expires_at < now() - %s LIMIT %s FOR UPDATE SKIP LOCKED)
        """,
        (TOMBSTONE_RETENTION, limit),
    ).rowcount
