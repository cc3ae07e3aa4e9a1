"""The items of an organization in PostgreSQL: what can be redeemed of each, and how many were."""

from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.infra.db import Conn, exactly_one
from shared.redemptions.rules import Item, check_limits


def get(conn: Conn, org_id: UUID, item: str) -> Item:
    """Return the item. One that was never limited or redeemed has no limits."""
    with conn.cursor(row_factory=class_row(Item)) as cursor:
        found = cursor.execute(
            "SELECT item, stock, expires_at, redeemed FROM items WHERE org_id = %(org_id)s AND item = %(item)s",
            {"org_id": org_id, "item": item},
        ).fetchone()
    return found or Item(item)


def lock(conn: Conn, org_id: UUID, item: str) -> Item:
    """Lock the item until the transaction ends, and return it. Its row is created if it has none."""
    # One statement: between two, another transaction could delete the row.
    with conn.cursor(row_factory=class_row(Item)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                INSERT INTO items (org_id, item) VALUES (%(org_id)s, %(item)s)
                ON CONFLICT (org_id, item) DO UPDATE SET redeemed = items.redeemed
                RETURNING item, stock, expires_at, redeemed
                """,
                {"org_id": org_id, "item": item},
            )
        )


def count_limited(conn: Conn, org_id: UUID, *, except_for: str) -> int:
    """Return how many other items of the organization have limits."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        count: int = exactly_one(
            cursor.execute(
                """
                SELECT count(*) FROM items
                WHERE org_id = %(org_id)s AND item <> %(item)s AND (stock IS NOT NULL OR expires_at IS NOT NULL)
                """,
                {"org_id": org_id, "item": except_for},
            )
        )
    return count


def set_limits(conn: Conn, org_id: UUID, item: str, stock: int | None, expires_at: datetime | None) -> Item:
    """Set the limits of an item that is locked. Return the item. Its row is deleted if it says nothing."""
    if stock is None and expires_at is None:
        deleted = conn.execute(
            "DELETE FROM items WHERE org_id = %(org_id)s AND item = %(item)s AND redeemed = 0",
            {"org_id": org_id, "item": item},
        )
        if deleted.rowcount:
            return Item(item)
    with conn.cursor(row_factory=class_row(Item)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                UPDATE items SET stock = %(stock)s, expires_at = %(expires_at)s
                WHERE org_id = %(org_id)s AND item = %(item)s
                RETURNING item, stock, expires_at, redeemed
                """,
                {"org_id": org_id, "item": item, "stock": stock, "expires_at": expires_at},
            )
        )


def take(conn: Conn, org_id: UUID, item: str, quantity: int, now: datetime) -> None:
    """Count this quantity as redeemed. Raise NotRedeemable if the limits of the item do not allow it."""
    check_limits(lock(conn, org_id, item), quantity, now)
    add_redeemed(conn, org_id, item, quantity)


def add_redeemed(conn: Conn, org_id: UUID, item: str, quantity: int) -> None:
    """Add to the number of redeemed items, or subtract."""
    conn.execute(
        "UPDATE items SET redeemed = redeemed + %(quantity)s WHERE org_id = %(org_id)s AND item = %(item)s",
        {"org_id": org_id, "item": item, "quantity": quantity},
    )


def list_items(conn: Conn, org_id: UUID, *, limit: int, after: str = "") -> list[Item]:
    """Return the items that were redeemed or limited, or that a code or a quest of the organization gives, by name."""
    with conn.cursor(row_factory=class_row(Item)) as cursor:
        return cursor.execute(
            """
            SELECT names.item, i.stock, i.expires_at, coalesce(i.redeemed, 0) AS redeemed
            FROM (
                SELECT item FROM items WHERE org_id = %(org_id)s
                UNION
                SELECT reward_item FROM qr_codes
                WHERE org_id = %(org_id)s AND deleted_at IS NULL AND reward_item IS NOT NULL
                UNION
                SELECT r.item FROM quests q JOIN rewards r ON r.id = q.reward_id WHERE q.org_id = %(org_id)s
            ) names
            LEFT JOIN items i ON i.org_id = %(org_id)s AND i.item = names.item
            WHERE names.item > %(after)s ORDER BY names.item LIMIT %(limit)s
            """,
            {"org_id": org_id, "after": after, "limit": limit},
        ).fetchall()
