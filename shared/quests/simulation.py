"""Simulates a quest: what each of some actions would do for a player without progress. Pure, and stores nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.quests.definitions import QuestDefinition
from shared.quests.rules import IgnoredReason, Quest, QuestAction, QuestReward, QuestState, decide, fold

NotCountedReason = IgnoredReason | Literal["unknown_code", "not_in_quest", "advanced_by_scans"]
"""Why an action is no step."""


@dataclass(frozen=True)
class SimulatedAction:
    """A successful scan of a code of the organization, or another action.

    `code_id` is None for another action and for a text that is no code. `indexes` are the positions of the code in the
    quest's list of codes or tags.
    """

    at: datetime
    qr_code: str | None = None
    action: str | None = None
    code_id: UUID | None = None
    indexes: Sequence[int] = ()


@dataclass(frozen=True)
class SimulatedStep:
    """What an action does, and the state of the player after it. `ignored_reason` is None if the action is a step."""

    at: datetime
    qr_code: str | None
    action: str | None
    ignored_reason: NotCountedReason | None
    progress: int
    completions: int
    completed: bool
    reward: QuestReward | None
    """The reward that the completion claims automatically."""

    @property
    def counted(self) -> bool:
        return self.ignored_reason is None


@dataclass(frozen=True)
class ChangeEffect:
    """Players in progress on a quest, and those of them whose steps reach the goal of a changed definition."""

    players_in_progress: int
    would_complete: int

    @property
    def message(self) -> str:
        if not self.players_in_progress:
            return "No player is in progress."
        players = "1 player is" if self.players_in_progress == 1 else f"{self.players_in_progress:,} players are"
        message = f"{players} in progress. Their progress is kept and counts toward the new goal."
        if not self.would_complete:
            return message
        return f"{message} {self.would_complete:,} of them would complete the quest with their next scan."


def quest_of(definition: QuestDefinition, org_id: UUID) -> Quest:
    """Return a quest of the organization as the rules take it."""
    reward = definition.reward
    return Quest(
        definition.name,
        definition.streak,
        definition.duplication,
        definition.auto_claim,
        None if reward is None else QuestReward(reward.item, reward.quantity, org_id),
        daily=definition.daily,
        grace_days=definition.grace_days,
        by_scans=True,
        in_order=definition.in_order,
        within=None if definition.within_seconds is None else timedelta(seconds=definition.within_seconds),
        min_interval=timedelta(seconds=definition.min_interval_seconds) if definition.min_interval_seconds else None,
    )


def simulate(quest: Quest, actions: Iterable[SimulatedAction], zone: ZoneInfo) -> list[SimulatedStep]:
    """Return what each action does, in the order of their times, for a player of this time zone."""
    state, steps = QuestState(), []
    for action in sorted(actions, key=lambda action: (action.at, tuple(action.indexes))):
        reason = _reason_not_to_track(action)
        events = []
        if reason is None:
            indexes = tuple(action.indexes) if quest.in_order else ()
            events = decide(state, QuestAction(action.at, zone, code_id=action.code_id, indexes=indexes), quest)
            state = fold(events, state)
            reason = next((event.data["reason"] for event in events if event.type == "action_ignored"), None)
        completed = any(event.type == "quest_completed" for event in events)
        is_claimed = any(event.type == "reward_claimed" for event in events)
        reward = quest.reward if is_claimed else None
        steps.append(
            SimulatedStep(
                action.at, action.qr_code, action.action, reason, state.progress, state.completions, completed, reward
            )
        )
    return steps


def _reason_not_to_track(action: SimulatedAction) -> NotCountedReason | None:
    if action.action is not None:
        return "advanced_by_scans"
    if action.code_id is None:
        return "unknown_code"
    return None if action.indexes else "not_in_quest"
