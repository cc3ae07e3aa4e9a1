"""Stored answers to requests that carried an Idempotency-Key, kept for a day, per caller."""

import json
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID, uuid5

from psycopg.rows import class_row

from shared.infra.db import Conn

KEPT = "24 hours"
REGISTRATION_NAMESPACE = UUID("6f0c2f5e-7a53-4b0b-9d0e-1c6f6f0f2a51")


@dataclass(frozen=True)
class StoredResponse:
    """The first answer, and what its request was told apart by."""

    digest: bytes
    status: int
    headers: dict[str, str]
    answer: str


def registration_owner(username: str) -> UUID:
    """The owner of keys where nobody is signed in yet: one for each name to be registered."""
    return uuid5(REGISTRATION_NAMESPACE, username.lower())


def lock(conn: Conn, caller: UUID, key: str) -> bool:
    """Take the key until the transaction ends; False while another request holds it."""
    number = int.from_bytes(sha256(f"{caller} {key}".encode()).digest()[:8], "big", signed=True)
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (number,)).fetchone()
    return row is not None and bool(row[0])


def find(conn: Conn, caller: UUID, key: str) -> StoredResponse | None:
    """The answer stored under the key, unless its day is over."""
    with conn.cursor(row_factory=class_row(StoredResponse)) as cursor:
        return cursor.execute(
            f"""
            SELECT digest, status, headers, answer FROM idempotency_keys
            WHERE caller = %s AND key = %s AND created_at > now() - interval '{KEPT}'
            """,  # noqa: S608 - a constant
            (caller, key),
        ).fetchone()


def save(conn: Conn, caller: UUID, key: str, digest: bytes, status: int, headers: dict[str, str], answer: str) -> None:
    """Store an answer, in the transaction of what it created. An outlived one under the same key gives way."""
    conn.execute(
        """
        INSERT INTO idempotency_keys (caller, key, digest, status, headers, answer) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (caller, key) DO UPDATE
        SET digest = EXCLUDED.digest, status = EXCLUDED.status, headers = EXCLUDED.headers, answer = EXCLUDED.answer,
            created_at = now()
        """,
        (caller, key, digest, status, json.dumps(headers), answer),
    )


def forget(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` answers whose day is over, but none that somebody holds. Returns how many."""
    return conn.execute(
        f"""
        DELETE FROM idempotency_keys WHERE (caller, key) IN (
            SELECT caller, key FROM idempotency_keys WHERE created_at < now() - interval '{KEPT}'
            LIMIT %s FOR UPDATE SKIP LOCKED)
        """,  # noqa: S608 - a constant
        (limit,),
    ).rowcount
