"""Quests as a player sees them: those that can be advanced now, and those that the player has advanced."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from shared.infra.db import Conn
from shared.quests import definitions, store
from shared.quests.definitions import CatalogQuest
from shared.quests.rules import Quest, QuestState, QuestStatus
from shared.settings import settings


@dataclass(frozen=True)
class RewardView:
    """A reward, with the field names of the API."""

    item: str
    qty: int
    org_id: UUID | None


@dataclass(frozen=True)
class QuestView:
    """A quest and one player's state of it. Its codes are not part of it, because players have to find them."""

    quest: Quest
    state: QuestState
    description: str

    @property
    def name(self) -> str:
        return self.quest.name

    @property
    def streak(self) -> int:
        return self.quest.streak

    @property
    def duplication(self) -> int:
        return self.quest.duplication

    @property
    def auto_claim(self) -> bool:
        return self.quest.auto_claim

    @property
    def daily(self) -> bool:
        return self.quest.daily

    @property
    def grace_days(self) -> int:
        return self.quest.grace_days

    @property
    def min_interval_seconds(self) -> int:
        return int(self.quest.min_interval.total_seconds()) if self.quest.min_interval else 0

    @property
    def by_scans(self) -> bool:
        return self.quest.by_scans

    @property
    def reward(self) -> RewardView | None:
        reward = self.quest.reward
        return None if reward is None else RewardView(reward.item, reward.quantity, reward.org_id)

    @property
    def progress(self) -> int:
        return self.state.progress

    @property
    def completions(self) -> int:
        return self.state.completions

    @property
    def claims(self) -> int:
        return self.state.claims

    @property
    def claimable(self) -> int:
        return self.state.completions - self.state.claims if self.quest.reward else 0

    @property
    def status(self) -> QuestStatus:
        if self.claimable:
            return "completed"
        if self.completions >= self.duplication:
            return "max_completions_reached"
        return "claimed" if self.claims and not self.progress else "in_progress"


def list_for_player(conn: Conn, player_id: UUID, catalog: Iterable[Quest]) -> list[QuestView]:
    """Return the quests that sign-ins, sign-ups or scans advance, and those that the player has advanced, by name.

    `catalog` has the quests of the catalog server. Quests that nothing can advance are left out.
    """
    local = {quest.name: quest for quest in definitions.list_all(conn)}
    states = store.load_states(conn, player_id)
    quests = {quest.name: quest for quest in (*(row.quest for row in local.values() if row.by_scans), *catalog)}
    return list(_views(quests, local, states))


def _views(
    quests: dict[str, Quest], local: dict[str, CatalogQuest], states: dict[str, QuestState]
) -> Iterator[QuestView]:
    tracked = {settings().signin_quest, settings().signup_quest}
    for name, quest in sorted(quests.items()):
        row, state = local.get(name), states.get(name, QuestState())
        can_advance = row.active if row is not None and row.by_scans else name in tracked
        if not (can_advance or state.version):
            continue
        if row is None:
            yield QuestView(quest, state, "")
        else:
            reward = quest.reward and replace(quest.reward, org_id=row.org_id)
            options = replace(
                quest,
                daily=row.daily,
                grace_days=row.grace_days,
                min_interval=row.quest.min_interval,
                by_scans=row.by_scans,
                reward=reward,
            )
            yield QuestView(options, state, row.description)
