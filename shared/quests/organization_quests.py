"""The quests of an organization in PostgreSQL, as its admins manage them over HTTP.

An organization sees its own quests, and those of the operator that are active for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg.rows import kwargs_row, scalar_row

from shared.errors import Conflict, FieldError, Invalid, QuotaExceeded
from shared.infra.db import Conn, exactly_one
from shared.quests import definitions
from shared.quests.definition_rules import find_errors
from shared.quests.definitions import QuestDefinition
from shared.quests.rewards import RewardDefinition
from shared.quests.rules import indexes_of
from shared.quests.simulation import ChangeEffect

QuestManager = Literal["organization", "operator"]


class QuestNameTaken(Conflict):
    """The installation has a quest of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The name {name} is taken. Names are unique in the installation: begin it with the organization's slug."
        )


class QuestManagedByOperator(Conflict):
    """This quest is managed by the operator of the installation."""


class QuestHasProgress(Conflict):
    """Players have progress on this quest or have claimed its reward. Set active to false instead."""


@dataclass(frozen=True, kw_only=True)
class OrganizationQuest(QuestDefinition):
    """A quest that an organization sees, and how many players are where in it."""

    org_id: UUID
    managed_by: QuestManager
    active: bool
    players_in_progress: int
    completions: int
    claims: int
    created_at: datetime
    updated_at: datetime


class RecentCounts(NamedTuple):
    """How often players completed a quest, and claimed its reward."""

    completions: int = 0
    claims: int = 0


def _read(*, reward_name: str | None, item: str | None, quantity: int | None, **fields: Any) -> OrganizationQuest:
    reward = RewardDefinition(reward_name, item, quantity) if item is not None and quantity is not None else None
    return OrganizationQuest(reward=reward, **fields)


SELECT_QUEST = """
    SELECT q.name, q.description, q.streak, q.duplication, q.auto_claim, q.daily, q.grace_days, q.codes, q.tags,
           q.in_order, q.within_seconds, q.min_interval_seconds, q.org_id, q.managed_by, q.active, q.created_at,
           q.updated_at, r.name AS reward_name, r.item, r.quantity, counts.*
    FROM quests q LEFT JOIN rewards r ON r.id = q.reward_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE s.progress > 0) AS players_in_progress,
               coalesce(sum(s.completions), 0)::bigint AS completions, coalesce(sum(s.claims), 0)::bigint AS claims
        FROM quest_states s WHERE s.quest = q.name
    ) counts
"""


def list_for_organization(
    conn: Conn, org_id: UUID, *, active: bool | None = None, after: str = "", limit: int
) -> list[OrganizationQuest]:
    """Return up to `limit` quests that the organization sees, by name, after the name `after`."""
    with conn.cursor(row_factory=kwargs_row(_read)) as cursor:
        return cursor.execute(
            SELECT_QUEST
            + """
            WHERE q.org_id = %(org_id)s AND (q.managed_by = 'organization' OR q.active) AND q.name > %(after)s
              AND (%(active)s::boolean IS NULL OR q.active = %(active)s)
            ORDER BY q.name LIMIT %(limit)s
            """,
            {"org_id": org_id, "active": active, "after": after, "limit": limit},
        ).fetchall()


def count_recent(conn: Conn, names: Collection[str], since: datetime) -> dict[str, RecentCounts]:
    """Return the completions and claims of each of these quests since a time. A quest without any has no entry.

    A completion that an annulled scan undid still counts, and a revoked claim does not.
    """
    rows = conn.execute(
        """
        SELECT quest, sum(completions)::bigint, sum(claims)::bigint
        FROM (
            SELECT quest, count(*) AS completions, 0 AS claims FROM quest_events
            WHERE quest = ANY (%(names)s) AND type = 'quest_completed' AND at >= %(since)s GROUP BY quest
            UNION ALL
            SELECT quest, 0, count(*) FROM quest_claims
            WHERE quest = ANY (%(names)s) AND revoked_at IS NULL AND at >= %(since)s GROUP BY quest
        ) counts
        GROUP BY quest
        """,
        {"names": list(names), "since": since},
    )
    return {quest: RecentCounts(completions, claims) for quest, completions, claims in rows}


def find(conn: Conn, org_id: UUID, name: str) -> OrganizationQuest | None:
    """Return the quest of this name, or None if the organization does not see it."""
    with conn.cursor(row_factory=kwargs_row(_read)) as cursor:
        return cursor.execute(
            SELECT_QUEST
            + """
            WHERE q.org_id = %(org_id)s AND q.name = %(name)s AND (q.managed_by = 'organization' OR q.active)
            """,
            {"org_id": org_id, "name": name},
        ).fetchone()


def lock(conn: Conn, org_id: UUID, name: str) -> OrganizationQuest | None:
    """Lock a quest until the transaction ends, and return it, or None if the organization does not see it.

    Raise QuestManagedByOperator if it is not the organization's own.
    """
    # The read is a statement of its own: it must see what other transactions committed while this one waited.
    conn.execute(
        "SELECT FROM quests WHERE org_id = %(org_id)s AND name = %(name)s FOR NO KEY UPDATE",
        {"org_id": org_id, "name": name},
    )
    quest = find(conn, org_id, name)
    if quest is not None and quest.managed_by == "operator":
        raise QuestManagedByOperator
    return quest


def find_codes(
    conn: Conn, org_id: UUID, texts: Collection[str], quest: QuestDefinition
) -> dict[str, tuple[UUID, tuple[int, ...]]]:
    """Return the codes of the organization that these texts lead to: the id, and the positions in the quest's list."""
    rows = conn.execute(
        """
        SELECT t.code, c.id, ARRAY(SELECT a.code FROM code_texts a WHERE a.qr_code_id = c.id), c.tags
        FROM code_texts t JOIN qr_codes c ON c.id = t.qr_code_id AND c.deleted_at IS NULL
        WHERE t.code = ANY (%(texts)s) AND c.org_id = %(org_id)s
        """,
        {"texts": list(texts), "org_id": org_id},
    )
    return {
        text: (code_id, indexes_of(code_texts, tags, codes=quest.codes, wanted_tags=quest.tags))
        for text, code_id, code_texts, tags in rows
    }


def effect_of(conn: Conn, quest: QuestDefinition) -> ChangeEffect:
    """Return the effect of this definition on players in progress on the quest of its name."""
    counts = exactly_one(
        conn.execute(
            """
            SELECT count(*) FILTER (WHERE progress > 0),
                   count(*) FILTER (WHERE progress >= %(streak)s AND completions < %(duplication)s)
            FROM quest_states WHERE quest = %(name)s
            """,
            {"name": quest.name, "streak": quest.streak, "duplication": quest.duplication},
        )
    )
    return ChangeEffect(*counts)


def check_quota(conn: Conn, org_id: UUID, *, added: int, limit: int) -> None:
    """Raise QuotaExceeded if `added` quests do not fit. The organization stays locked until the transaction ends."""
    # The count is a statement of its own: it must see the quests that were added while this one waited for the lock.
    conn.execute("SELECT FROM organizations WHERE id = %(id)s FOR NO KEY UPDATE", {"id": org_id})
    (quests,) = exactly_one(
        conn.execute(
            "SELECT count(*) FROM quests WHERE org_id = %(org_id)s AND managed_by = 'organization'", {"org_id": org_id}
        )
    )
    if quests + added > limit:
        hint = "Delete one first." if added == 1 else f"{added:,} more do not fit. Delete some first."
        raise QuotaExceeded("MAX_QUESTS_PER_ORGANIZATION", quests, limit, "quests of this organization", hint)


def check(conn: Conn, org_id: UUID, quests: Mapping[str, QuestDefinition], *, checks_codes: bool = True) -> None:
    """Raise Invalid if a quest contradicts itself, or names a code that the organization does not have.

    The keys are the locations of the quests in the request.
    """
    errors = [
        FieldError(f"{loc}.{error.loc}", error.message)
        for loc, quest in quests.items()
        for error in (
            *find_errors(quest),
            *_find_organization_errors(quest),
            *(find_unknown_codes(conn, org_id, quest.codes) if checks_codes else ()),
        )
    ]
    if errors:
        raise Invalid(*errors)


def _find_organization_errors(quest: QuestDefinition) -> Iterator[FieldError]:
    if not (quest.codes or quest.tags):
        yield FieldError("codes", "Give codes or tags: scans of them advance the quest.")
    if quest.reward is not None and quest.reward.name is not None:
        yield FieldError("reward.name", "Remove the name: a reward of an organization has the quest's name.")


def find_unknown_codes(conn: Conn, org_id: UUID, codes: Sequence[str]) -> list[FieldError]:
    """Return an error for each text that leads to no code of the organization."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        unknown = cursor.execute(
            """
            SELECT position - 1 FROM unnest(%(codes)s::text[]) WITH ORDINALITY AS named (code, position)
            WHERE NOT EXISTS (
                SELECT FROM code_texts t JOIN qr_codes c ON c.id = t.qr_code_id AND c.deleted_at IS NULL
                WHERE t.code = named.code AND c.org_id = %(org_id)s)
            ORDER BY position
            """,
            {"codes": list(codes), "org_id": org_id},
        ).fetchall()
    return [FieldError(f"codes.{index}", f"This organization has no code {codes[index]}.") for index in unknown]


def add(conn: Conn, org_id: UUID, quest: QuestDefinition, *, active: bool, reserved: Collection[str]) -> None:
    """Add a quest of the organization. The caller holds the lock of `check_quota`.

    Raise QuestNameTaken if there is a quest of this name, or if players have progress on a quest that had it, or if the
    name is reserved.
    """
    # Another organization, or the operator, may add one of this name between these statements.
    if quest.name in reserved or _is_taken(conn, quest.name) or not definitions.save(conn, quest, org_id):
        raise QuestNameTaken(quest.name)
    set_active(conn, org_id, quest.name, active=active)


def _is_taken(conn: Conn, name: str) -> bool:
    # Players of a quest that was erased have states of its name. They must not be completions of another quest.
    (is_taken,) = exactly_one(
        conn.execute(
            """
            SELECT EXISTS (SELECT FROM quests WHERE name = %(name)s)
                OR EXISTS (SELECT FROM quest_states WHERE quest = %(name)s)
            """,
            {"name": name},
        )
    )
    return bool(is_taken)


def update(conn: Conn, quest: OrganizationQuest) -> None:
    """Store the fields of a quest of the organization. The caller holds the lock of `lock`."""
    definitions.save(conn, quest, quest.org_id)
    set_active(conn, quest.org_id, quest.name, active=quest.active)


def set_active(conn: Conn, org_id: UUID, name: str, *, active: bool) -> None:
    """Let scans advance a quest of the organization, or no scans."""
    conn.execute(
        """
        UPDATE quests SET active = %(active)s, updated_at = now()
        WHERE org_id = %(org_id)s AND name = %(name)s AND managed_by = 'organization'
        """,
        {"active": active, "org_id": org_id, "name": name},
    )


def delete(conn: Conn, org_id: UUID, name: str) -> None:
    """Delete a quest of the organization. Raise QuestHasProgress. The caller holds the lock of `lock`."""
    # Scans that advance the quest hold FOR KEY SHARE. They end before this lock is granted, so the next statement sees
    # their progress. Later ones wait, and then find no quest.
    conn.execute("SELECT FROM quests WHERE name = %(name)s FOR UPDATE", {"name": name})
    (has_progress,) = exactly_one(
        conn.execute("SELECT EXISTS (SELECT FROM quest_states WHERE quest = %(name)s)", {"name": name})
    )
    if has_progress:
        raise QuestHasProgress
    conn.execute(
        """
        WITH deleted_quests AS (
            DELETE FROM quests WHERE org_id = %(org_id)s AND name = %(name)s AND managed_by = 'organization'
            RETURNING reward_id
        )
        DELETE FROM rewards r USING deleted_quests d WHERE r.id = d.reward_id
        """,
        {"org_id": org_id, "name": name},
    )
