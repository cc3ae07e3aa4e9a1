"""Responses to requests with an Idempotency-Key, stored for 24 hours per caller."""

import json
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID, uuid5

from psycopg.rows import class_row

from shared.infra.db import Conn

RETENTION = timedelta(hours=24)
REGISTRATION_NAMESPACE = UUID("6f0c2f5e-7a53-4b0b-9d0e-1c6f6f0f2a51")


@dataclass(frozen=True)
class StoredResponse:
    """The response to the first request, and the digest that identifies that request."""

    request_digest: bytes
    response_status: int
    response_headers: dict[str, str]
    response_body: str


def registration_owner(username: str) -> UUID:
    """Return the owner of the keys of requests that register this username, in any letter case."""
    return uuid5(REGISTRATION_NAMESPACE, username.lower())


def lock(conn: Conn, caller_id: UUID, key: str) -> bool:
    """Lock the key until the transaction ends. Return False if another request holds it."""
    number = int.from_bytes(sha256(f"{caller_id} {key}".encode()).digest()[:8], "big", signed=True)
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%(number)s)", {"number": number}).fetchone()
    return row is not None and bool(row[0])


def find(conn: Conn, caller_id: UUID, key: str) -> StoredResponse | None:
    """Return the response stored under the key. None if there is none, or it is older than 24 hours."""
    with conn.cursor(row_factory=class_row(StoredResponse)) as cursor:
        return cursor.execute(
            """
            SELECT request_digest, response_status, response_headers, response_body FROM idempotency_keys
            WHERE caller_id = %(caller_id)s AND key = %(key)s AND created_at > now() - %(retention)s
            """,
            {"caller_id": caller_id, "key": key, "retention": RETENTION},
        ).fetchone()


def save(conn: Conn, caller_id: UUID, key: str, response: StoredResponse, *, player_id: UUID | None = None) -> None:
    """Store a response, in the transaction of what it created. It replaces an expired one under the same key.

    `player_id` is the player that the response names: `erase_player` finds it by this column.
    """
    conn.execute(
        """
        INSERT INTO idempotency_keys (caller_id, key, player_id, request_digest, response_status, response_headers,
                                      response_body)
        VALUES (%(caller_id)s, %(key)s, %(player_id)s, %(digest)s, %(status)s, %(headers)s, %(body)s)
        ON CONFLICT (caller_id, key) DO UPDATE
        SET player_id = EXCLUDED.player_id, request_digest = EXCLUDED.request_digest,
            response_status = EXCLUDED.response_status, response_headers = EXCLUDED.response_headers,
            response_body = EXCLUDED.response_body, created_at = now()
        """,
        {
            "caller_id": caller_id,
            "key": key,
            "player_id": player_id,
            "digest": response.request_digest,
            "status": response.response_status,
            "headers": json.dumps(response.response_headers),
            "body": response.response_body,
        },
    )


# Materialized, because a response that names no player may be encrypted: a cast to jsonb would fail.
ERASE_RESPONSES = """
    WITH responses AS MATERIALIZED (
        SELECT caller_id, key, response_body FROM idempotency_keys WHERE player_id = %(player_id)s
    ), deleted AS (
        DELETE FROM idempotency_keys k USING responses r
        WHERE (k.caller_id, k.key) = (r.caller_id, r.key)
          AND r.response_body::jsonb = jsonb_build_object('player_id', %(player_id)s)
    )
    UPDATE idempotency_keys k
    SET response_body = (r.response_body::jsonb || jsonb_build_object('username', p.username))::text
    FROM responses r, players p
    WHERE p.id = %(player_id)s AND (k.caller_id, k.key) = (r.caller_id, r.key)
      AND r.response_body::jsonb ->> 'username' <> p.username
"""


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Erase the player from stored responses. Their username must already be replaced.

    Responses to the player's own requests, and those that created the player, are deleted. In responses to other
    callers the username becomes the new one, so a retry still returns the first response.
    """
    conn.execute("DELETE FROM idempotency_keys WHERE caller_id = %(player_id)s", {"player_id": player_id})
    conn.execute(ERASE_RESPONSES, {"player_id": player_id})


def release_registration(conn: Conn, username: str) -> None:
    """Delete the responses to registrations of this username: it can be registered again, under any key."""
    conn.execute("DELETE FROM idempotency_keys WHERE caller_id = %(owner)s", {"owner": registration_owner(username)})


def purge(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` responses older than 24 hours, and return how many. Locked rows are skipped."""
    # Materialized, the limit is applied once: a plan may run a subquery again for each row.
    return conn.execute(
        """
        WITH old AS MATERIALIZED (
            SELECT caller_id, key FROM idempotency_keys WHERE created_at < now() - %(retention)s
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        DELETE FROM idempotency_keys k USING old WHERE k.caller_id = old.caller_id AND k.key = old.key
        """,
        {"retention": RETENTION, "limit": limit},
    ).rowcount
