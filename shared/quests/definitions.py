"""The catalog's tables: what there is to do, and what it gives."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.quests.rules import Quest, QuestReward


@dataclass(frozen=True)
class RewardDefinition:
    """A reward as it is written down. Quests that give the same one name it alike."""

    name: str
    item: str
    quantity: int


@dataclass(frozen=True)
class QuestDefinition:
    """A quest as it is written down. The last six are of quests that scans advance."""

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
    reward: RewardDefinition | None = None


@dataclass(frozen=True)
class CatalogQuest:
    """A quest as the catalog publishes it."""

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

    @property
    def quest(self) -> Quest:
        """By the rules' words. What advances it is left out: it is read where it is needed."""
        reward = QuestReward(self.item, self.quantity) if self.item and self.quantity else None
        return Quest(
            self.name,
            self.streak,
            self.duplication,
            self.auto_claim,
            reward,
            daily=self.daily,
            grace_days=self.grace_days,
            by_scans=self.by_scans,
        )


LISTED = """
    SELECT q.id, q.name, q.streak, q.duplication, q.auto_claim, r.id AS reward_id, r.name AS reward_name, r.item,
           r.quantity, q.description, q.by_scans, q.active, q.daily, q.grace_days
    FROM quests q LEFT JOIN rewards r ON r.id = q.reward_id
"""


def find(conn: Conn, name: str) -> CatalogQuest | None:
    """One quest, switched on or not: what was completed stays to be claimed."""
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(LISTED + "WHERE q.name = %s", (name,)).fetchone()


def list_all(conn: Conn) -> list[CatalogQuest]:
    """Every quest, by name."""
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(LISTED + "ORDER BY q.name").fetchall()


def upsert(conn: Conn, definition: QuestDefinition) -> bool:
    """Write a quest down, in place of the one of that name. Whether scans advance it, and whose, stays as it is.
    Returns whether anything changed."""
    fields = asdict(definition) | {"codes": list(definition.codes), "tags": list(definition.tags)}
    reward = fields.pop("reward")
    changed = False
    fields["reward_id"] = None
    if reward is not None:
        fields["reward_id"], changed = exactly_one(
            conn.execute(
                """
                WITH written AS (
                    INSERT INTO rewards (name, item, quantity) VALUES (%(name)s, %(item)s, %(quantity)s)
                    ON CONFLICT (name) DO UPDATE SET item = EXCLUDED.item, quantity = EXCLUDED.quantity
                    WHERE (rewards.item, rewards.quantity) <> (EXCLUDED.item, EXCLUDED.quantity)
                    RETURNING id
                )
                SELECT id, true FROM written UNION ALL SELECT id, false FROM rewards WHERE name = %(name)s LIMIT 1
                """,
                reward,
            )
        )
    columns = ", ".join(fields)
    values = ", ".join(f"%({name})s" for name in fields)
    told = ", ".join(f"EXCLUDED.{name}" for name in fields)
    mine = ", ".join(f"quests.{name}" for name in fields)
    written = conn.execute(
        f"""
        INSERT INTO quests ({columns}) VALUES ({values})
        ON CONFLICT (name) DO UPDATE SET ({columns}) = ROW ({told}) WHERE ({mine}) IS DISTINCT FROM ({told})
        """,  # noqa: S608 - the names of our own fields
        fields,
    )
    return bool(changed or written.rowcount)


def quests_sharing_rewards(conn: Conn, loaded: Sequence[QuestDefinition]) -> list[str]:
    """Return the names of other quests that share a reward with one of these, which would change it."""
    rewards = [definition.reward for definition in loaded if definition.reward is not None]
    rows = conn.execute(
        """
        SELECT DISTINCT q.name FROM quests q JOIN rewards r ON r.id = q.reward_id
        JOIN unnest(%s::text[], %s::text[], %s::int[]) AS g (name, item, quantity) ON g.name = r.name
        WHERE (r.item, r.quantity) <> (g.item, g.quantity) AND q.name <> ALL (%s::text[])
        ORDER BY q.name
        """,
        (
            [reward.name for reward in rewards],
            [reward.item for reward in rewards],
            [reward.quantity for reward in rewards],
            [definition.name for definition in loaded],
        ),
    )
    return [name for (name,) in rows]


def is_empty(conn: Conn) -> bool:
    """Whether there is no quest at all. Held by the caller's transaction: of two who ask, the second waits."""
    conn.execute("LOCK TABLE quests IN SHARE ROW EXCLUSIVE MODE")
    return not exactly_one(conn.execute("SELECT EXISTS (SELECT FROM quests)"))[0]


def set_organization(conn: Conn, name: str, org_id: UUID | None) -> bool:
    """Let scans of this organization's codes advance a quest, or no scans. Return False if it does not exist."""
    return bool(
        conn.execute(
            """
            UPDATE quests SET active = %(org_id)s::uuid IS NOT NULL, org_id = %(org_id)s
            WHERE name = %(name)s AND by_scans
            """,
            {"name": name, "org_id": org_id},
        ).rowcount
    )
