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

    request_digest: bytes
    response_status: int
    response_headers: dict[str, str]
    response_body: str


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
            SELECT request_digest, response_status, response_headers, response_body FROM idempotency_keys
            WHERE caller_id = %s AND key = %s AND created_at > now() - interval '{KEPT}'
            """,  # noqa: S608 - a constant
            (caller, key),
        ).fetchone()


def save(conn: Conn, caller: UUID, key: str, digest: bytes, status: int, headers: dict[str, str], answer: str) -> None:
    """Store an answer, in the transaction of what it created. An outlived one under the same key gives way.

    A player whom the answer names as `player_id` is stored beside it: their erasure finds it by that.
    """
    conn.execute(
        """
        INSERT INTO idempotency_keys (caller_id, key, player_id, request_digest, response_status, response_headers,
                                      response_body)
        VALUES (%(caller)s, %(key)s, %(player)s, %(digest)s, %(status)s, %(headers)s, %(body)s)
        ON CONFLICT (caller_id, key) DO UPDATE
        SET player_id = EXCLUDED.player_id, request_digest = EXCLUDED.request_digest,
            response_status = EXCLUDED.response_status, response_headers = EXCLUDED.response_headers,
            response_body = EXCLUDED.response_body, created_at = now()
        """,
        {
            "caller": caller,
            "key": key,
            "player": _player_id(answer),
            "digest": digest,
            "status": status,
            "headers": json.dumps(headers),
            "body": answer,
        },
    )


def forget(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` answers whose day is over, but none that somebody holds. Returns how many."""
    return conn.execute(
        f"""
        DELETE FROM idempotency_keys WHERE (caller_id, key) IN (
            SELECT caller_id, key FROM idempotency_keys WHERE created_at < now() - interval '{KEPT}'
            LIMIT %s FOR UPDATE SKIP LOCKED)
        """,  # noqa: S608 - a constant
        (limit,),
    ).rowcount


def _player_id(answer: str) -> UUID | None:
    """Return the player whom a response names as its `player_id`, None if it names none."""
    body = json.loads(answer) if answer else None
    named = body.get("player_id") if isinstance(body, dict) else None
    return UUID(named) if named is not None else None
