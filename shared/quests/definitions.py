"""The tables of the quest catalog: quests and rewards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.quests.rules import Quest, QuestReward


@dataclass(frozen=True)
class RewardDefinition:
    """A reward as a file defines it. Quests that give the same reward use the same name."""

    name: str
    item: str
    quantity: int


@dataclass(frozen=True)
class QuestDefinition:
    """A quest as a file defines it. `codes` to `within_seconds` belong to quests that scans advance."""

    name: str
    streak: int
    duplication: int
    description: str = ""
    auto_claim: bool = False
    daily: bool = False
    grace_days: int = 0
    codes: Sequence[str] = ()
    tags: Sequence[str] = ()
    in_order: bool = False
    within_seconds: int | None = None
    min_interval_seconds: int = 0
    reward: RewardDefinition | None = None


@dataclass(frozen=True)
class CatalogQuest:
    """A quest as the catalog publishes it. `organization` is the slug of the issuer of its reward."""

    id: int
    name: str
    streak: int
    duplication: int
    auto_claim: bool
    reward_id: int | None
    reward_name: str | None
    item: str | None
    quantity: int | None
    description: str
    by_scans: bool
    active: bool
    daily: bool
    grace_days: int
    min_interval_seconds: int
    org_id: UUID | None
    organization: str | None

    @property
    def quest(self) -> Quest:
        """Return the quest as the rules take it, without the codes that advance it."""
        reward = QuestReward(self.item, self.quantity, self.org_id) if self.item and self.quantity else None
        return Quest(
            self.name,
            self.streak,
            self.duplication,
            self.auto_claim,
            reward,
            daily=self.daily,
            grace_days=self.grace_days,
            by_scans=self.by_scans,
            min_interval=timedelta(seconds=self.min_interval_seconds) if self.min_interval_seconds else None,
        )


SELECT_QUEST = """
    SELECT q.id, q.name, q.streak, q.duplication, q.auto_claim, r.id AS reward_id, r.name AS reward_name, r.item,
           r.quantity, q.description, q.by_scans, q.active, q.daily, q.grace_days, q.min_interval_seconds,
           q.org_id, o.slug AS organization
    FROM quests q LEFT JOIN rewards r ON r.id = q.reward_id LEFT JOIN organizations o ON o.id = q.org_id
"""


def find(conn: Conn, name: str) -> CatalogQuest | None:
    """Return a quest, active or not, because a completion of an inactive quest can still be claimed."""
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(SELECT_QUEST + "WHERE q.name = %(name)s", {"name": name}).fetchone()


def list_all(conn: Conn) -> list[CatalogQuest]:
    """Return all quests, by name."""
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(SELECT_QUEST + "ORDER BY q.name").fetchall()


def upsert(conn: Conn, definition: QuestDefinition) -> bool:
    """Insert a quest, or replace the one of this name. Return whether anything changed.

    A replaced quest keeps its organization and stays active or inactive.
    """
    reward_id, is_reward_changed = None, False
    if definition.reward is not None:
        reward_id, is_reward_changed = _upsert_reward(conn, definition.reward)
    upserted = conn.execute(
        """
        INSERT INTO quests AS q (name, description, streak, duplication, auto_claim, reward_id, daily, grace_days,
                                 codes, tags, in_order, within_seconds, min_interval_seconds)
        VALUES (%(name)s, %(description)s, %(streak)s, %(duplication)s, %(auto_claim)s, %(reward_id)s, %(daily)s,
                %(grace_days)s, %(codes)s, %(tags)s, %(in_order)s, %(within_seconds)s,
                %(min_interval_seconds)s)
        ON CONFLICT (name) DO UPDATE
        SET description = EXCLUDED.description, streak = EXCLUDED.streak, duplication = EXCLUDED.duplication,
            auto_claim = EXCLUDED.auto_claim, reward_id = EXCLUDED.reward_id, daily = EXCLUDED.daily,
            grace_days = EXCLUDED.grace_days, codes = EXCLUDED.codes, tags = EXCLUDED.tags,
            in_order = EXCLUDED.in_order, within_seconds = EXCLUDED.within_seconds,
            min_interval_seconds = EXCLUDED.min_interval_seconds
        WHERE (q.description, q.streak, q.duplication, q.auto_claim, q.reward_id, q.daily, q.grace_days, q.codes,
               q.tags, q.in_order, q.within_seconds, q.min_interval_seconds)
              IS DISTINCT FROM
              (EXCLUDED.description, EXCLUDED.streak, EXCLUDED.duplication, EXCLUDED.auto_claim, EXCLUDED.reward_id,
               EXCLUDED.daily, EXCLUDED.grace_days, EXCLUDED.codes, EXCLUDED.tags, EXCLUDED.in_order,
               EXCLUDED.within_seconds, EXCLUDED.min_interval_seconds)
        """,
        vars(definition) | {"codes": list(definition.codes), "tags": list(definition.tags), "reward_id": reward_id},
    )
    return bool(is_reward_changed or upserted.rowcount)


def _upsert_reward(conn: Conn, reward: RewardDefinition) -> tuple[int, bool]:
    """Insert or replace a reward. Return its id, and whether anything changed."""
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


def quests_sharing_rewards(conn: Conn, loaded: Sequence[QuestDefinition]) -> list[str]:
    """Return the names of other quests that share a reward with one of these, which would change it."""
    rewards = [definition.reward for definition in loaded if definition.reward is not None]
    rows = conn.execute(
        """
        SELECT DISTINCT q.name FROM quests q JOIN rewards r ON r.id = q.reward_id
        JOIN unnest(%(names)s::text[], %(items)s::text[], %(quantities)s::int[]) AS loaded (name, item, quantity)
             ON loaded.name = r.name
        WHERE (r.item, r.quantity) <> (loaded.item, loaded.quantity) AND q.name <> ALL (%(quests)s::text[])
        ORDER BY q.name
        """,
        {
            "names": [reward.name for reward in rewards],
            "items": [reward.item for reward in rewards],
            "quantities": [reward.quantity for reward in rewards],
            "quests": [definition.name for definition in loaded],
        },
    )
    return [name for (name,) in rows]


def is_empty(conn: Conn) -> bool:
    """Return whether the catalog has no quest. Lock the table until the transaction ends, so another caller waits."""
    conn.execute("LOCK TABLE quests IN SHARE ROW EXCLUSIVE MODE")
    return not exactly_one(conn.execute("SELECT EXISTS (SELECT FROM quests)"))[0]


def set_organization(conn: Conn, name: str, org_id: UUID | None) -> bool:
    """Let scans of this organization's codes advance a quest, or no scans. Return False if it does not exist.

    An inactive quest keeps its organization, which still issues the rewards that are claimed later.
    """
    return bool(
        conn.execute(
            """
            UPDATE quests SET active = %(org_id)s::uuid IS NOT NULL, org_id = coalesce(%(org_id)s, org_id)
            WHERE name = %(name)s AND by_scans
            """,
            {"name": name, "org_id": org_id},
        ).rowcount
    )


def erase_organization(conn: Conn, org_id: UUID) -> None:
    """Delete the quests of the organization, and their rewards that no other quest has. Progress of players remains."""
    conn.execute(
        """
        WITH deleted_quests AS (DELETE FROM quests WHERE org_id = %(org_id)s RETURNING id, reward_id)
        DELETE FROM rewards r USING deleted_quests d
        WHERE r.id = d.reward_id AND NOT EXISTS (
            SELECT FROM quests q WHERE q.reward_id = r.id AND q.id NOT IN (SELECT id FROM deleted_quests))
        """,
        {"org_id": org_id},
    )
