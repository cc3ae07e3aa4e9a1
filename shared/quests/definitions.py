"""The tables of the quest catalog: quests and rewards."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.quests import rewards
from shared.quests.rewards import RewardDefinition
from shared.quests.rules import Quest, QuestReward


@dataclass(frozen=True)
class QuestDefinition:
    """A quest as a file or a request defines it. `codes` to `within_seconds` belong to quests that scans advance."""

    name: str
    streak: int
    duplication: int = 1
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
    """A quest as the catalog publishes it. The organization issues its reward: `organization` is its slug."""

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
    organization_name: str | None

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
    SELECT q.id, q.name, q.streak, q.duplication, q.auto_claim, r.id AS reward_id,
           CASE WHEN r.id IS NOT NULL THEN coalesce(r.name, q.name) END AS reward_name, r.item, r.quantity,
           q.description, q.by_scans, q.active, q.daily, q.grace_days, q.min_interval_seconds, q.org_id,
           o.slug AS organization, o.name AS organization_name
    FROM quests q LEFT JOIN rewards r ON r.id = q.reward_id LEFT JOIN organizations o ON o.id = q.org_id
"""


def find(conn: Conn, name: str) -> CatalogQuest | None:
    """Return a quest, active or not, because a completion of an inactive quest can still be claimed."""
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(SELECT_QUEST + "WHERE q.name = %(name)s", {"name": name}).fetchone()


def list_named(conn: Conn, names: Collection[str]) -> list[CatalogQuest]:
    """Return the quests of these names."""
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(SELECT_QUEST + "WHERE q.name = ANY (%(names)s)", {"names": list(names)}).fetchall()


def list_scan_quests(conn: Conn, advanced: Collection[str], *, after: str, limit: int) -> list[CatalogQuest]:
    """Return up to `limit` quests that scans advance, by name, after the name `after`.

    They are active, and their organization is open, or a player has advanced them: `advanced` has their names.
    """
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(
            SELECT_QUEST
            + """
            WHERE q.by_scans AND q.name > %(after)s
              AND (q.active AND (o.closed_at IS NULL OR o.closed_at > now()) OR q.name = ANY (%(advanced)s))
            ORDER BY q.name LIMIT %(limit)s
            """,
            {"after": after, "limit": limit, "advanced": list(advanced)},
        ).fetchall()


def list_all(conn: Conn) -> list[CatalogQuest]:
    """Return all quests, by name."""
    with conn.cursor(row_factory=class_row(CatalogQuest)) as cursor:
        return cursor.execute(SELECT_QUEST + "ORDER BY q.name").fetchall()


def save(conn: Conn, definition: QuestDefinition, org_id: UUID | None = None) -> bool:
    """Insert a quest, or replace the one of this name and this manager. Return whether anything changed.

    The manager is an organization, or the operator if `org_id` is None. A quest of another manager remains as it is. A
    replaced quest keeps its organization and stays active or inactive.
    """
    own = _lock(conn, definition.name, org_id)
    old_reward_id = own[0] if own else None
    reward_id, is_reward_changed = None, False
    if definition.reward is not None:
        reward_id, is_reward_changed = rewards.save(conn, definition.reward, old_reward_id)
    saved = conn.execute(
        """
        INSERT INTO quests AS q (name, org_id, managed_by, description, streak, duplication, auto_claim, reward_id,
                                 daily, grace_days, codes, tags, in_order, within_seconds, min_interval_seconds)
        VALUES (%(name)s, %(org_id)s, CASE WHEN %(org_id)s::uuid IS NULL THEN 'operator' ELSE 'organization' END,
                %(description)s, %(streak)s, %(duplication)s, %(auto_claim)s, %(reward_id)s, %(daily)s, %(grace_days)s,
                %(codes)s, %(tags)s, %(in_order)s, %(within_seconds)s, %(min_interval_seconds)s)
        ON CONFLICT (name) DO UPDATE
        SET description = EXCLUDED.description, streak = EXCLUDED.streak, duplication = EXCLUDED.duplication,
            auto_claim = EXCLUDED.auto_claim, reward_id = EXCLUDED.reward_id, daily = EXCLUDED.daily,
            grace_days = EXCLUDED.grace_days, codes = EXCLUDED.codes, tags = EXCLUDED.tags,
            in_order = EXCLUDED.in_order, within_seconds = EXCLUDED.within_seconds,
            min_interval_seconds = EXCLUDED.min_interval_seconds, updated_at = now()
        WHERE q.managed_by = EXCLUDED.managed_by AND (q.managed_by = 'operator' OR q.org_id = EXCLUDED.org_id)
          AND (q.description, q.streak, q.duplication, q.auto_claim, q.reward_id, q.daily, q.grace_days, q.codes,
               q.tags, q.in_order, q.within_seconds, q.min_interval_seconds)
              IS DISTINCT FROM
              (EXCLUDED.description, EXCLUDED.streak, EXCLUDED.duplication, EXCLUDED.auto_claim, EXCLUDED.reward_id,
               EXCLUDED.daily, EXCLUDED.grace_days, EXCLUDED.codes, EXCLUDED.tags, EXCLUDED.in_order,
               EXCLUDED.within_seconds, EXCLUDED.min_interval_seconds)
        """,
        {field: getattr(definition, field) for field in QuestDefinition.__dataclass_fields__}
        | {"codes": list(definition.codes), "tags": list(definition.tags), "reward_id": reward_id, "org_id": org_id},
    )
    # The old one if the quest has another or none now, and the new one if the quest is another manager's.
    rewards.delete_unused(conn, [each for each in (old_reward_id, reward_id) if each is not None])
    return bool(saved.rowcount or (own and is_reward_changed))


def _lock(conn: Conn, name: str, org_id: UUID | None) -> tuple[int | None] | None:
    """Lock the quest of this name and this manager until the transaction ends. Return its reward's id in a tuple."""
    return conn.execute(
        """
        SELECT reward_id FROM quests
        WHERE name = %(name)s AND CASE WHEN %(org_id)s::uuid IS NULL THEN managed_by = 'operator'
                                       ELSE managed_by = 'organization' AND org_id = %(org_id)s END
        FOR NO KEY UPDATE
        """,
        {"name": name, "org_id": org_id},
    ).fetchone()


def names_of_organizations(conn: Conn, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return those of these quests that organizations manage, each with the slug of its organization, by name."""
    return conn.execute(
        """
        SELECT q.name, o.slug FROM quests q JOIN organizations o ON o.id = q.org_id
        WHERE q.name = ANY (%(names)s::text[]) AND q.managed_by = 'organization' ORDER BY q.name
        """,
        {"names": list(names)},
    ).fetchall()


def is_empty(conn: Conn) -> bool:
    """Return whether the operator has no quest. Lock the table until the transaction ends, so another caller waits."""
    conn.execute("LOCK TABLE quests IN SHARE ROW EXCLUSIVE MODE")
    return not exactly_one(conn.execute("SELECT EXISTS (SELECT FROM quests WHERE managed_by = 'operator')"))[0]


def set_organization(conn: Conn, name: str, org_id: UUID | None) -> bool:
    """Let scans of this organization's codes advance a quest of the operator, or no scans.

    Return False if it does not exist. An inactive quest keeps its organization, which still issues the rewards that are
    claimed later.
    """
    return bool(
        conn.execute(
            """
            UPDATE quests SET active = %(org_id)s::uuid IS NOT NULL, org_id = coalesce(%(org_id)s, org_id),
                              updated_at = now()
            WHERE name = %(name)s AND by_scans AND managed_by = 'operator'
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
