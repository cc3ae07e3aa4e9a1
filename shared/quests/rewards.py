"""The rewards of quests in PostgreSQL. A reward with a name can belong to several quests, one without a name to one."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.infra.db import Conn, exactly_one


@dataclass(frozen=True)
class RewardDefinition:
    """A reward. Quests of the operator that share it use the same name. None: the reward of one quest."""

    name: str | None
    item: str
    quantity: int


def save(conn: Conn, reward: RewardDefinition, old_id: int | None) -> tuple[int, bool]:
    """Insert or replace a reward. Return its id, and whether anything changed.

    `old_id` is the quest's reward until now. The caller holds the lock of the quest.
    """
    if reward.name is not None:
        return _save_named(conn, reward)
    values = {"id": old_id, "item": reward.item, "quantity": reward.quantity}
    row = conn.execute(
        "SELECT (item, quantity) <> (%(item)s, %(quantity)s) FROM rewards WHERE id = %(id)s AND name IS NULL", values
    ).fetchone()
    if old_id is None or row is None:
        added = conn.execute(
            "INSERT INTO rewards (item, quantity) VALUES (%(item)s, %(quantity)s) RETURNING id", values
        )
        return exactly_one(added)[0], True
    conn.execute("UPDATE rewards SET item = %(item)s, quantity = %(quantity)s WHERE id = %(id)s", values)
    return old_id, row[0]


def _save_named(conn: Conn, reward: RewardDefinition) -> tuple[int, bool]:
    reward_id, is_changed = exactly_one(
        conn.execute(
            """
            WITH upserted_rewards AS (
                INSERT INTO rewards (name, item, quantity) VALUES (%(name)s, %(item)s, %(quantity)s)
                ON CONFLICT (name) DO UPDATE SET item = EXCLUDED.item, quantity = EXCLUDED.quantity
                WHERE (rewards.item, rewards.quantity) <> (EXCLUDED.item, EXCLUDED.quantity)
                RETURNING id
            )
            SELECT id, true FROM upserted_rewards
            UNION ALL
            SELECT id, false FROM rewards WHERE name = %(name)s
            LIMIT 1
            """,
            vars(reward),
        )
    )
    return reward_id, is_changed


def delete_unused(conn: Conn, reward_ids: Sequence[int]) -> None:
    """Delete those of these rewards that have no name and no quest."""
    conn.execute(
        """
        DELETE FROM rewards r WHERE id = ANY (%(ids)s) AND name IS NULL
          AND NOT EXISTS (SELECT FROM quests q WHERE q.reward_id = r.id)
        """,
        {"ids": list(reward_ids)},
    )


def quests_sharing(conn: Conn, changed: Sequence[RewardDefinition], *, but: Sequence[str]) -> list[str]:
    """Return the names of quests that have one of these rewards with other values, except for the quests in `but`."""
    rows = conn.execute(
        """
        SELECT DISTINCT q.name FROM quests q JOIN rewards r ON r.id = q.reward_id
        JOIN unnest(%(names)s::text[], %(items)s::text[], %(quantities)s::int[]) AS changed (name, item, quantity)
             ON changed.name = r.name
        WHERE (r.item, r.quantity) <> (changed.item, changed.quantity) AND q.name <> ALL (%(but)s::text[])
        ORDER BY q.name
        """,
        {
            "names": [reward.name for reward in changed],
            "items": [reward.item for reward in changed],
            "quantities": [reward.quantity for reward in changed],
            "but": list(but),
        },
    )
    return [name for (name,) in rows]
