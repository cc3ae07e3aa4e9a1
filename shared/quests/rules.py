"""The rules of quests. Pure: `decide` returns the events of an action, `evolve` the state after an event.

An event carries the inputs of its decision, so a player's state can be computed from their events alone, whatever the
catalog says now.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from shared.errors import Conflict

QuestStatus = Literal["in_progress", "completed", "claimed", "max_completions_reached"]
EventType = Literal[
    "quest_step",
    "quest_completed",
    "reward_claimed",
    "action_ignored",
    "scans_retracted",
    "reward_revoked",
]
IgnoredReason = Literal[
    "max_completions_reached",
    "day_already_counted",
    "day_in_past",
    "already_visited",
    "out_of_order",
    "too_old",
]
"""Why an action moved nothing."""


class QuestNotCompleted(Conflict):
    """This quest is not completed yet."""


class NoReward(Conflict):
    """This quest gives no reward."""


class RewardFullyClaimed(Conflict):
    """This reward was claimed as often as allowed."""


@dataclass(frozen=True)
class QuestReward:
    """What a completion is worth."""

    item: str
    quantity: int


@dataclass(frozen=True)
class Quest:
    """What a quest asks for and gives.

    `daily`: a day counts once, and more than `grace_days` days missed between two that count begin the streak anew.
    `by_scans`: scans advance it, each code once a round, or `in_order`; a round that takes longer than `within` lapses.
    """

    name: str
    streak: int
    duplication: int
    auto_claim: bool = False
    reward: QuestReward | None = None
    daily: bool = False
    grace_days: int = 0
    by_scans: bool = False
    in_order: bool = False
    within: timedelta | None = None

    def terms(self) -> dict[str, Any]:
        """What an event remembers of the quest: the terms that it was judged by."""
        told: dict[str, Any] = {"streak": self.streak, "duplication": self.duplication, "auto_claim": self.auto_claim}
        if self.reward is not None:
            told["reward"] = {"item": self.reward.item, "quantity": self.reward.quantity}
        if self.daily:
            told |= {"daily": True, "grace_days": self.grace_days}
        if self.by_scans:
            told |= {"by_scans": True, "in_order": self.in_order}
        if self.within is not None:
            told["within_seconds"] = self.within.total_seconds()
        return told

    @classmethod
    def from_terms(cls, terms: Mapping[str, Any], name: str = "") -> "Quest":
        """The quest as an event remembers it."""
        fields = dict(terms)
        if (reward := fields.pop("reward", None)) is not None:
            fields["reward"] = QuestReward(**reward)
        if (seconds := fields.pop("within_seconds", None)) is not None:
            fields["within"] = timedelta(seconds=seconds)
        return cls(name, **fields)


@dataclass(frozen=True)
class Step:
    """A code that was visited in the round that is open."""

    code_id: UUID
    at: datetime


@dataclass(frozen=True)
class QuestState:
    """How far one player has come with one quest. `version` counts the events that made it so."""

    version: int = 0
    progress: int = 0
    completions: int = 0
    claims: int = 0
    steps: tuple[Step, ...] = ()
    last_day: date | None = None

    @property
    def is_claimable(self) -> bool:
        return self.completions > self.claims


@dataclass(frozen=True)
class QuestAction:
    """Something tracked: a sign-in, or a scan. `day` is the player's own; `indexes` are those in the quest's order that
    the scanned code can take."""

    at: datetime
    day: date
    scan_id: UUID | None = None
    code_id: UUID | None = None
    indexes: tuple[int, ...] = ()


@dataclass(frozen=True)
class ClaimReward:
    """A player asks for the reward of their oldest unclaimed completion."""

    at: datetime


@dataclass(frozen=True)
class QuestEvent:
    """Something that happened on a quest, with the facts it was judged by, ready for JSON."""

    type: EventType
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    scan_id: UUID | None = None


def decide(state: QuestState, command: QuestAction | ClaimReward, quest: Quest) -> list[QuestEvent]:
    """The events that a command brings about. Raises NothingToClaim, ClaimedOut, NotCompleted."""
    return _claim(state, command, quest) if isinstance(command, ClaimReward) else _track(state, command, quest)


def evolve(state: QuestState, event: QuestEvent) -> QuestState:
    """The state after an event."""
    version, data = state.version + 1, event.data
    match event.type:
        case "quest_step":
            lapsed = "lapsed" in data
            steps, last_day = () if lapsed else state.steps, state.last_day
            if "day" in data:
                last_day = date.fromisoformat(data["day"])
            elif "code_id" in data:
                steps = (*steps, Step(UUID(data["code_id"]), datetime.fromisoformat(data["scanned_at"])))
            progress = 1 if lapsed else state.progress + 1
            return QuestState(version, progress, state.completions, state.claims, steps, last_day)
        case "quest_completed":
            return QuestState(version, 0, state.completions + 1, state.claims, (), state.last_day)
        case "reward_claimed":
            return replace(state, version=version, claims=state.claims + 1)
        case "reward_revoked":
            return replace(state, version=version, claims=state.claims - 1)
        case "scans_retracted":
            return replace(state_from_json(data["after"]), version=version, claims=state.claims)
        case _:
            return replace(state, version=version)


def fold(events: Iterable[QuestEvent], state: QuestState | None = None) -> QuestState:
    """What events make of a state, of none at first."""
    state = QuestState() if state is None else state
    for event in events:
        state = evolve(state, event)
    return state


def status_of(events: Sequence[QuestEvent]) -> QuestStatus:
    """What an action came to, in the contract's words."""
    types = {event.type for event in events}
    if "reward_claimed" in types:
        return "claimed"
    if "quest_completed" in types:
        return "completed"
    if any(event.data.get("reason") == "max_completions_reached" for event in events):
        return "max_completions_reached"
    return "in_progress"


def indexes_of(code: str, tags: Sequence[str], *, codes: Sequence[str], wanted_tags: Sequence[str]) -> tuple[int, ...]:
    """Return the indexes of a code in a quest's list of codes, or of its tags. Empty if the quest does not name it."""
    if codes:
        return tuple(place for place, wanted in enumerate(codes) if wanted == code)
    return tuple(place for place, wanted in enumerate(wanted_tags) if wanted in tags)


def state_to_json(state: QuestState) -> dict[str, Any]:
    """A state for JSON, but for its version and its claims."""
    return {
        "progress": state.progress,
        "completions": state.completions,
        "steps": [[str(step.code_id), step.at.isoformat()] for step in state.steps],
        "last_day": state.last_day and state.last_day.isoformat(),
    }


def state_from_json(told: Mapping[str, Any]) -> QuestState:
    """What `write_state` wrote."""
    return QuestState(
        progress=told["progress"],
        completions=told["completions"],
        steps=tuple(Step(UUID(code), datetime.fromisoformat(at)) for code, at in told["steps"]),
        last_day=date.fromisoformat(told["last_day"]) if told["last_day"] else None,
    )


def _claim(state: QuestState, command: ClaimReward, quest: Quest) -> list[QuestEvent]:
    if quest.reward is None:
        raise NoReward
    if state.is_claimable:
        return [_claimed(state, command.at, quest.reward, quest.terms())]
    raise RewardFullyClaimed if state.claims >= quest.duplication else QuestNotCompleted


def _claimed(state: QuestState, at: datetime, reward: QuestReward, terms: Mapping[str, Any]) -> QuestEvent:
    won = {"completion": state.claims + 1, "item": reward.item, "quantity": reward.quantity}
    return QuestEvent("reward_claimed", at, won | {"terms": terms})


def _track(state: QuestState, action: QuestAction, quest: Quest) -> list[QuestEvent]:
    lapsed = _is_lapsed(state, action, quest)
    reason = _ignored_reason(QuestState() if lapsed else state, action, quest, state.completions)
    told: dict[str, Any] = {"terms": quest.terms()}
    if quest.daily:
        told["day"] = action.day.isoformat()
    if action.code_id is not None:
        told |= {"code_id": str(action.code_id), "scanned_at": action.at.isoformat(), "indexes": list(action.indexes)}
    if reason is not None:
        return [QuestEvent("action_ignored", action.at, told | {"reason": reason}, action.scan_id)]
    events = [QuestEvent("quest_step", action.at, told | ({"lapsed": True} if lapsed else {}), action.scan_id)]
    after = evolve(state, events[0])
    if after.progress >= quest.streak:
        events.append(QuestEvent("quest_completed", action.at, {"terms": told["terms"]}))
        if quest.auto_claim and quest.reward is not None:
            events.append(_claimed(after, action.at, quest.reward, told["terms"]))
    return events


def _is_lapsed(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """Whether what was done so far in this round, or this streak, counts no longer."""
    if quest.daily:
        return state.last_day is not None and (action.day - state.last_day).days > 1 + quest.grace_days
    if quest.within is None or not state.steps:
        return False
    return action.at - min(step.at for step in state.steps) > quest.within


def _is_too_old(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """True if an action that arrived late is too old to be a step of the current round."""
    times = [action.at, *(step.at for step in state.steps)]
    return quest.within is not None and max(times) - min(times) > quest.within


def _ignored_reason(state: QuestState, action: QuestAction, quest: Quest, completions: int) -> IgnoredReason | None:
    """Why an action moves nothing, if it does not."""
    if completions >= quest.duplication:
        return "max_completions_reached"
    if quest.daily:
        if state.last_day is None or action.day > state.last_day:
            return None
        return "day_already_counted" if action.day == state.last_day else "day_in_past"
    if _is_too_old(state, action, quest):
        return "too_old"
    if quest.in_order:
        return None if len(state.steps) in action.indexes else "out_of_order"
    if quest.by_scans and action.code_id in {step.code_id for step in state.steps}:
        return "already_visited"
    return None
