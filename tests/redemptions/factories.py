"""Items that players have, tokens, and their confirmation."""

from typing import Any
from uuid import UUID, uuid4

from shared.infra.db import Conn, exactly_one
from shared.redemptions import rules, store
from tests.support.callers import ApiKeyCaller, SignedInPlayer, Staff

COFFEE = "coffee"


def grant(conn: Conn, player_id: UUID, org_id: UUID | None, quantity: int = 1, item: str = COFFEE) -> None:
    """Give the player an item of an issuer."""
    conn.execute(
        """
        INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        VALUES (%s, %s, %s, %s, 'quest', %s)
        """,
        (player_id, org_id, item, quantity, uuid4()),
    )


def ask(client: Any, player: SignedInPlayer, item: str = COFFEE, **fields: Any) -> Any:
    """Request a token."""
    return client.post("/redemptions/token", json={"item": item, **fields}, headers=player.headers)


def token_of(client: Any, player: SignedInPlayer, item: str = COFFEE, **fields: Any) -> str:
    response = ask(client, player, item, **fields)
    assert response.status_code == 201, response.text
    return str(response.json["token"])


def confirm(client: Any, staff: Staff, token: str, by: SignedInPlayer | ApiKeyCaller | None = None) -> Any:
    """Confirm a token, as the admin of this organization unless by another caller."""
    headers = (by or staff.admin).headers
    return client.post(f"{staff.path}/redemptions", json={"token": token}, headers=headers)


def undo(client: Any, staff: Staff, redemption_id: object, by: SignedInPlayer | ApiKeyCaller | None = None) -> Any:
    headers = (by or staff.admin).headers
    return client.post(f"{staff.path}/redemptions/{redemption_id}/undo", headers=headers)


def add_token(conn: Conn, player_id: UUID, org_id: UUID, quantity: int = 1, item: str = COFFEE) -> str:
    """Store a token, whatever the balance is. Return it."""
    token = rules.new_token()
    store.add_token(conn, rules.token_digest(token), player_id, org_id, item, quantity)
    return token


def redeem(conn: Conn, player_id: UUID, org_id: UUID, by: SignedInPlayer | ApiKeyCaller, item: str = COFFEE) -> UUID:
    """Give the player an item, and redeem it."""
    grant(conn, player_id, org_id, item=item)
    token = store.find_token(conn, org_id, rules.token_digest(add_token(conn, player_id, org_id, item=item)))
    assert token is not None
    kind: rules.CounterKind = "key" if isinstance(by, ApiKeyCaller) else "member"
    redemption_id = store.use_token(conn, org_id, token, kind, by.id)
    assert redemption_id is not None
    store.pay(conn, redemption_id)
    return redemption_id


def balances(conn: Conn, player_id: UUID) -> tuple[int, int]:
    """Return the player's balance of all items, and the open shortfall."""
    balance, shortfall = exactly_one(
        conn.execute(
            "SELECT coalesce(sum(quantity), 0), coalesce(sum(shortfall), 0) FROM inventory_ledger WHERE player_id = %s",
            (player_id,),
        )
    )
    return int(balance), int(shortfall)


def redeemed(conn: Conn, org_id: UUID) -> int:
    """Return the number of items that are redeemed and not undone, and assert that the stock counts the same."""
    counted, added = exactly_one(
        conn.execute(
            """
            SELECT (SELECT coalesce(sum(redeemed), 0) FROM items WHERE org_id = %(org)s),
                   (SELECT coalesce(sum(quantity), 0) FROM redemptions WHERE org_id = %(org)s AND undone_at IS NULL)
            """,
            {"org": org_id},
        )
    )
    assert counted == added
    return int(counted)
