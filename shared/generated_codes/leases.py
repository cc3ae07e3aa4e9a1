"""Drawing generated codes: claimed under a lease, stored once, fenced by the lease's token, as scans are settled.

A claim is committed at once, so that a code which kills its worker is known by its attempts. Pictures and `ready` are
committed together: a worker that was stopped and comes back too late finds its codes taken and writes nothing.
"""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.generated_codes.rules import MAX_ATTEMPTS, GeneratedCode
from shared.generated_codes.store import COLUMNS, StoredImage
from shared.infra.db import Conn

STILL_OURS = "lease_token = %(token)s AND status = 'pending'"
"""The fence of every write that ends a lease."""


def claim_fresh(conn: Conn, token: UUID, lease: timedelta, *, limit: int) -> list[GeneratedCode]:
    """Lease the pending codes that nobody has tried yet. SKIP LOCKED: side by side, workers take different ones."""
    return _claim(conn, "lease_until IS NULL", "id", token, lease, limit)


def claim_suspect(conn: Conn, token: UUID, lease: timedelta) -> list[GeneratedCode]:
    """Lease one code that was tried in vain, the least tried first: should it kill its worker, it goes alone."""
    return _claim(conn, f"lease_until <= now() AND attempts < {MAX_ATTEMPTS}", "attempts, id", token, lease, 1)


def dead_letter_exhausted(conn: Conn, *, limit: int) -> list[UUID]:
    """Give up on codes that were tried too often. Returns their ids. One whose worker never spoke died with it."""
    rows = conn.execute(
        f"""
        UPDATE generated_codes
        SET status = 'failed', last_error = coalesce(last_error, 'its worker did not come back'), lease_token = NULL
        WHERE id = ANY (ARRAY (
            SELECT id FROM generated_codes
            WHERE status = 'pending' AND lease_until <= now() AND attempts >= {MAX_ATTEMPTS}
            ORDER BY id LIMIT %s
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING id
        """,  # noqa: S608 - constants
        (limit,),
    ).fetchall()
    return [row[0] for row in rows]


def _claim(conn: Conn, which: str, order: str, token: UUID, lease: timedelta, limit: int) -> list[GeneratedCode]:
    with conn.cursor(row_factory=class_row(GeneratedCode)) as cursor:
        return cursor.execute(
            f"""
            UPDATE generated_codes
            SET lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1
            WHERE id = ANY (ARRAY (
                SELECT id FROM generated_codes
                WHERE status = 'pending' AND {which}
                ORDER BY {order} LIMIT %(limit)s
                FOR UPDATE SKIP LOCKED
            ))
            RETURNING {COLUMNS}
            """,  # noqa: S608 - constants
            {"limit": limit, "token": token, "lease": lease},
        ).fetchall()


def store_images(conn: Conn, token: UUID, images: Mapping[UUID, StoredImage]) -> int:
    """Store pictures in the formats their codes asked for, and say `ready`, where the codes are still ours. Returns how
    many were."""
    return conn.execute(
        f"""
        WITH rendered AS (
            SELECT * FROM unnest(%(ids)s::uuid[], %(digests)s::text[], %(images)b::bytea[]) r (id, digest, data)
        ), leased AS (
            UPDATE generated_codes g SET status = 'ready', last_error = NULL, lease_token = NULL, lease_until = NULL
            FROM rendered r WHERE g.id = r.id AND {STILL_OURS}
            RETURNING g.id, g.format
        )
        INSERT INTO generated_images (code_id, format, digest, data)
        SELECT id, leased.format, digest, data FROM leased JOIN rendered USING (id)
        ON CONFLICT DO NOTHING
        """,  # noqa: S608 - a constant
        {
            "token": token,
            "ids": list(images),
            "digests": [image.digest for image in images.values()],
            "images": [image.data for image in images.values()],
        },
    ).rowcount


def suspect(conn: Conn, token: UUID, reasons: Mapping[UUID, str]) -> None:
    """End leases at once, attempts and all: rendering these codes failed, so each is tried by itself next."""
    conn.execute(
        f"""
        UPDATE generated_codes g SET lease_until = now(), last_error = f.last_error, lease_token = NULL
        FROM unnest(%(ids)s::uuid[], %(reasons)s::text[]) f (id, last_error)
        WHERE g.id = f.id AND {STILL_OURS}
        """,  # noqa: S608 - a constant
        {"token": token, "ids": list(reasons), "reasons": list(reasons.values())},
    )


def give_back(conn: Conn, token: UUID) -> None:
    """End a lease as if it had never been: PostgreSQL failed us, not the codes."""
    conn.execute(
        f"""
        UPDATE generated_codes SET lease_token = NULL, attempts = attempts - 1,
                                   lease_until = CASE WHEN attempts > 1 THEN now() END
        WHERE {STILL_OURS}
        """,  # noqa: S608 - a constant
        {"token": token},
    )
