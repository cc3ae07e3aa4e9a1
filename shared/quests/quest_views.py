"""Quests as a player sees them: those that can be advanced now, and those that the player has advanced."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from shared.errors import NotFound
from shared.infra.db import Conn
from shared.quests import definitions, store
from shared.quests.counted_days import list_counted_days
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
    row: CatalogQuest | None
    """The quest in PostgreSQL. None: only the catalog has it."""
    days: Sequence[date] = ()
    """The days of the current round of a daily quest, or of the completed one until the next begins."""

    @property
    def description(self) -> str:
        return self.row.description if self.row else ""

    @property
    def org_id(self) -> UUID | None:
        return self.row.org_id if self.row else None

    @property
    def organization(self) -> str | None:
        return self.row.organization_name if self.row else None

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


@dataclass(frozen=True)
class PlayerQuests:
    """What PostgreSQL has of the quests that a player can advance or has advanced."""

    states: Mapping[str, QuestState]
    by_scans: Mapping[str, CatalogQuest]
    """Quests that scans advance."""
    options: Mapping[str, CatalogQuest]
    """Options that the catalog does not publish, of its quests."""
    days: Mapping[str, Sequence[date]]
    """The days that count toward daily quests, by name."""
    names: Sequence[str]
    """All names, in order. The catalog has the quests that scans do not advance."""

    def views(self, get_quest: Callable[[str], Quest], limit: int) -> list[QuestView]:
        """Return the first `limit` quests. `get_quest` returns a quest of the catalog, or raises NotFound."""
        views: list[QuestView] = []
        for name in self.names:
            with suppress(NotFound):
                views.append(self._view(name, get_quest))
            if len(views) == limit:
                break
        return views

    def _view(self, name: str, get_quest: Callable[[str], Quest]) -> QuestView:
        state, row = self.states.get(name, QuestState()), self.by_scans.get(name)
        days = self.days.get(name, ())
        if row is not None:
            return QuestView(row.quest, state, row, days)
        quest, row = get_quest(name), self.options.get(name)
        if row is not None:
            quest = replace(quest, daily=row.daily, grace_days=row.grace_days, min_interval=row.quest.min_interval)
        return QuestView(quest, state, row, days)


def load_for_player(conn: Conn, player_id: UUID, *, after: str, limit: int) -> PlayerQuests:
    """Return the quests after the name `after` that scans, sign-ins or sign-ups advance, and those with progress.

    It has all names that the first `limit` of them need.
    """
    states = store.load_states(conn, player_id)
    by_scans = {quest.name: quest for quest in definitions.list_scan_quests(conn, states, after=after, limit=limit)}
    others = {settings().signin_quest, settings().signup_quest} | states.keys()
    local = {quest.name: quest for quest in definitions.list_named(conn, others)}
    unlisted = {name for name in others if name > after and not (name in local and local[name].by_scans)}
    steps = {
        name: states[name].progress or row.streak
        for name, row in (local | by_scans).items()
        if row.daily and name in states and (states[name].progress or states[name].completions)
    }
    days = list_counted_days(conn, player_id, steps) if steps else {}
    return PlayerQuests(states, by_scans, local, days, sorted(by_scans.keys() | unlisted))
