"""Tokens and redemptions in PostgreSQL.

A token is used once because `redemptions_token_key` is unique. A balance never falls below zero because the trigger
`guard_balance` of the ledger locks the player. Every transaction locks the redemption, then the player, then the item.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.errors import CheckViolation
from psycopg.rows import class_row, scalar_row

from shared.errors import BalanceTooLow
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import uuid7
from shared.redemptions.rules import TOKEN_TTL, CounterKind, Holding, Redemption


@dataclass(frozen=True)
class Token:
    """What a token is for."""

    digest: bytes
    player_id: UUID
    item: str
    quantity: int
    is_expired: bool


@dataclass(frozen=True)
class TokenState:
    """What became of a token. `balance` is what its player has of the item now."""

    is_redeemed: bool
    is_expired: bool
    balance: int


SELECT_REDEMPTION = """
    SELECT r.id, r.player_id, r.item, r.quantity, r.at, r.undone_at,
           CASE WHEN r.api_key_id IS NULL THEN 'member' ELSE 'key' END AS counter_kind,
           coalesce(r.confirmed_by, r.api_key_id) AS counter_id, coalesce(p.username, k.name) AS counter_name
    FROM redemptions r LEFT JOIN players p ON p.id = r.confirmed_by LEFT JOIN api_keys k ON k.id = r.api_key_id
"""


def list_holdings(conn: Conn, player_id: UUID, item: str) -> list[Holding]:
    """Return the player's positive balances of items of this name, by issuer. Erased organizations are left out."""
    with conn.cursor(row_factory=class_row(Holding)) as cursor:
        return cursor.execute(
            """
            SELECT balances.org_id, o.name AS organization, balances.balance,
                   coalesce(o.closed_at <= now(), false) AS is_closed
            FROM (
                SELECT org_id, sum(quantity) AS balance FROM inventory_ledger
                WHERE player_id = %(player_id)s AND item = %(item)s
                GROUP BY org_id HAVING sum(quantity) > 0
            ) balances
            LEFT JOIN organizations o ON o.id = balances.org_id
            WHERE o.erased_at IS NULL
            ORDER BY o.name, balances.org_id
            """,
            {"player_id": player_id, "item": item},
        ).fetchall()


def add_token(conn: Conn, digest: bytes, player_id: UUID, org_id: UUID, item: str, quantity: int) -> None:
    """Store a new token: its digest, not the token."""
    conn.execute(
        """
        INSERT INTO redemption_tokens (digest, player_id, org_id, item, quantity, expires_at)
        VALUES (%(digest)s, %(player_id)s, %(org_id)s, %(item)s, %(quantity)s, clock_timestamp() + %(ttl)s)
        """,
        {
            "digest": digest,
            "player_id": player_id,
            "org_id": org_id,
            "item": item,
            "quantity": quantity,
            "ttl": TOKEN_TTL,
        },
    )


def purge_player_tokens(conn: Conn, player_id: UUID) -> None:
    """Delete the player's tokens that expired more than ten minutes ago, so that no player can fill the table."""
    # SKIP LOCKED: two requests of the player delete the same rows, in any order.
    conn.execute(
        """
        DELETE FROM redemption_tokens WHERE digest IN (
            SELECT digest FROM redemption_tokens
            WHERE player_id = %(player_id)s AND expires_at < now() - interval '10 minutes' FOR UPDATE SKIP LOCKED)
        """,
        {"player_id": player_id},
    )


def find_token(conn: Conn, org_id: UUID, digest: bytes) -> Token | None:
    """Return a token for an item of the organization, also an expired one, or None."""
    with conn.cursor(row_factory=class_row(Token)) as cursor:
        return cursor.execute(
            """
            SELECT digest, player_id, item, quantity, expires_at <= clock_timestamp() AS is_expired
            FROM redemption_tokens WHERE digest = %(digest)s AND org_id = %(org_id)s
            """,
            {"digest": digest, "org_id": org_id},
        ).fetchone()


def find_token_state(conn: Conn, player_id: UUID, digest: bytes) -> TokenState | None:
    """Return the state of one of the player's tokens. None if the player has no such token."""
    with conn.cursor(row_factory=class_row(TokenState)) as cursor:
        return cursor.execute(
            """
            SELECT r.id IS NOT NULL AS is_redeemed, t.expires_at <= clock_timestamp() AS is_expired,
                   (SELECT coalesce(sum(l.quantity), 0)::bigint FROM inventory_ledger l
                    WHERE l.player_id = t.player_id AND l.org_id = t.org_id AND l.item = t.item) AS balance
            FROM redemption_tokens t LEFT JOIN redemptions r ON r.token_digest = t.digest
            WHERE t.digest = %(digest)s AND t.player_id = %(player_id)s
            """,
            {"digest": digest, "player_id": player_id},
        ).fetchone()


def find_by_token(conn: Conn, org_id: UUID, digest: bytes) -> Redemption | None:
    """Return the redemption that used this token, or None."""
    with conn.cursor(row_factory=class_row(Redemption)) as cursor:
        return cursor.execute(
            SELECT_REDEMPTION + "WHERE r.org_id = %(org_id)s AND r.token_digest = %(digest)s",
            {"org_id": org_id, "digest": digest},
        ).fetchone()


def find(conn: Conn, org_id: UUID, redemption_id: UUID) -> Redemption | None:
    """Return a redemption at the organization, or None."""
    with conn.cursor(row_factory=class_row(Redemption)) as cursor:
        return cursor.execute(
            SELECT_REDEMPTION + "WHERE r.org_id = %(org_id)s AND r.id = %(id)s",
            {"org_id": org_id, "id": redemption_id},
        ).fetchone()


def use_token(conn: Conn, org_id: UUID, token: Token, counter: CounterKind, counter_id: UUID) -> UUID | None:
    """Add the redemption of this token, and return its id. Return None if the token was used before.

    While another transaction uses the token, wait for it.
    """
    redemption_id = uuid7()
    inserted = conn.execute(
        """
        INSERT INTO redemptions (id, token_digest, player_id, org_id, item, quantity, confirmed_by, api_key_id)
        VALUES (%(id)s, %(token_digest)s, %(player_id)s, %(org_id)s, %(item)s, %(quantity)s, %(confirmed_by)s,
                %(api_key_id)s)
        ON CONFLICT DO NOTHING
        """,
        {
            "id": redemption_id,
            "token_digest": token.digest,
            "player_id": token.player_id,
            "org_id": org_id,
            "item": token.item,
            "quantity": token.quantity,
            "confirmed_by": counter_id if counter == "member" else None,
            "api_key_id": counter_id if counter == "key" else None,
        },
    )
    return redemption_id if inserted.rowcount else None


def pay(conn: Conn, redemption_id: UUID) -> int:
    """Enter a redemption in the ledger, and append its event. Return the balance that is left.

    Raise BalanceTooLow. The transaction is then aborted.
    """
    try:
        conn.execute(
            """
            INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
            SELECT player_id, org_id, item, -quantity, 'redemption', id FROM redemptions WHERE id = %(id)s
            """,
            {"id": redemption_id},
        )
    except CheckViolation as error:
        if error.diag.constraint_name != "inventory_ledger_balance":
            raise
        raise BalanceTooLow from error
    return _append_event(conn, "reward_redeemed", redemption_id)


def undo(conn: Conn, redemption_id: UUID) -> datetime | None:
    """Mark a redemption undone, and return the time. Return None if it was undone before."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        undone_at: datetime | None = cursor.execute(
            """
            UPDATE redemptions SET undone_at = clock_timestamp() WHERE id = %(id)s AND undone_at IS NULL
            RETURNING undone_at
            """,
            {"id": redemption_id},
        ).fetchone()
    return undone_at


def pay_back(conn: Conn, redemption_id: UUID) -> int:
    """Compensate an undone redemption in the ledger, and append its event. Return the balance.

    What an annulment could not take because of this redemption is taken now.
    """
    conn.execute(
        """
        INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        SELECT player_id, org_id, item, quantity, 'redemption_undo', id FROM redemptions WHERE id = %(id)s
        """,
        {"id": redemption_id},
    )
    return _append_event(conn, "redemption_undone", redemption_id)


def _append_event(conn: Conn, type_: str, redemption_id: UUID) -> int:
    """Append an event for player and staff. Return the balance in it."""
    (balance,) = exactly_one(
        conn.execute(
            """
            INSERT INTO events (type, player_id, org_id, data)
            SELECT %(type)s, r.player_id, r.org_id, jsonb_build_object(
                'redemption_id', r.id, 'reward', r.item, 'quantity', r.quantity, 'org_id', r.org_id,
                'balance', (SELECT coalesce(sum(l.quantity), 0) FROM inventory_ledger l
                            WHERE l.player_id = r.player_id AND l.org_id = r.org_id AND l.item = r.item))
            FROM redemptions r WHERE r.id = %(id)s
            RETURNING (data -> 'balance')::bigint
            """,
            {"type": type_, "id": redemption_id},
        )
    )
    return int(balance)


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Delete the player's tokens. Redemptions remain, as the ledger does."""
    conn.execute("DELETE FROM redemption_tokens WHERE player_id = %(player_id)s", {"player_id": player_id})


def erase_organization(conn: Conn, org_id: UUID) -> None:
    """Delete tokens and limits of the organization's items. Redemptions remain: players did them."""
    conn.execute("DELETE FROM redemption_tokens WHERE org_id = %(org_id)s", {"org_id": org_id})
    conn.execute("DELETE FROM items WHERE org_id = %(org_id)s", {"org_id": org_id})


def purge_tokens(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` tokens that expired more than a day ago. Return how many."""
    return conn.execute(
        """
        DELETE FROM redemption_tokens WHERE digest = ANY (ARRAY (
            SELECT digest FROM redemption_tokens WHERE expires_at < now() - interval '1 day'
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"limit": limit},
    ).rowcount
