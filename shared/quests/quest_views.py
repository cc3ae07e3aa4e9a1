"""What a player sees of the quests: those that can be moved now, and those they have moved."""

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
    """A reward, as the contract spells it."""

    item: str
    qty: int


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
    def by_scans(self) -> bool:
        return self.quest.by_scans

    @property
    def reward(self) -> RewardView | None:
        reward = self.quest.reward
        return None if reward is None else RewardView(reward.item, reward.quantity)

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
    """The quests that sign-ins and sign-ups advance, our own ones that scans do, and those that the player has moved,
    by name: nothing that could never move."""
    ours = {each.name: each for each in definitions.list_all(conn)}
    states = store.load_states(conn, player_id)
    quests = {each.name: each for each in (*(own.quest for own in ours.values() if own.by_scans), *catalog)}
    return list(_views(quests, ours, states))


def _views(
    quests: dict[str, Quest], ours: dict[str, CatalogQuest], states: dict[str, QuestState]
) -> Iterator[QuestView]:
    tracked = {settings().signin_quest, settings().signup_quest}
    for name, quest in sorted(quests.items()):
        own, state = ours.get(name), states.get(name, QuestState())
        moves = own.active if own is not None and own.by_scans else name in tracked
        if own is None and (moves or state.version):
            yield QuestView(quest, state, "")
        elif own is not None and (moves or state.version):
            options = replace(quest, daily=own.daily, grace_days=own.grace_days, by_scans=own.by_scans)
            yield QuestView(options, state, own.description)
