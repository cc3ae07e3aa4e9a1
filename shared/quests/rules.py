"""The rules of quests. Pure: `decide` returns the events of an action, `evolve` the state after an event.

Actions are decided in the order of their own time. `reordering.py` decides one that arrives late. An event carries the
inputs of its decision, so a player's state can be computed from their events alone, whatever the catalog says now.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared.errors import Conflict
from shared.quests.days import days_between, time_zone_or_utc
from shared.quests.model import (
    ACTION_EVENTS,
    ClaimReward,
    EventType,
    IgnoredReason,
    Quest,
    QuestAction,
    QuestEvent,
    QuestReward,
    QuestState,
    QuestStatus,
    Step,
    acted_at,
    state_from_json,
    state_to_json,
    steps_from_json,
)

__all__ = [
    "ACTION_EVENTS",
    "ClaimReward",
    "EventType",
    "IgnoredReason",
    "Judgment",
    "NoReward",
    "Quest",
    "QuestAction",
    "QuestEvent",
    "QuestNotCompleted",
    "QuestReward",
    "QuestState",
    "QuestStatus",
    "RewardFullyClaimed",
    "Step",
    "after_completion",
    "after_step",
    "claimed",
    "decide",
    "evolve",
    "fold",
    "indexes_of",
    "judge",
    "state_from_json",
    "state_to_json",
    "status_of",
    "steps_from_json",
]


class QuestNotCompleted(Conflict):
    """This quest is not completed yet."""


class NoReward(Conflict):
    """This quest gives no reward."""


class RewardFullyClaimed(Conflict):
    """This reward was claimed as often as allowed."""


def decide(state: QuestState, command: QuestAction | ClaimReward, quest: Quest) -> list[QuestEvent]:
    """Return the events of a command. Raises NoReward, RewardFullyClaimed, QuestNotCompleted."""
    return _claim(state, command, quest) if isinstance(command, ClaimReward) else _track(state, command, quest)


def evolve(state: QuestState, event: QuestEvent) -> QuestState:
    """Return the state after an event."""
    version, data = state.version + 1, event.data
    match event.type:
        case "quest_step":
            has_code = "day" not in data and "code_id" in data
            step = Step(UUID(data["code_id"]), acted_at(event)) if has_code else None
            stepped_at = datetime.fromisoformat(data["stepped_at"]) if "stepped_at" in data else None
            return _after_event(after_step(state, step, stepped_at, lapsed="lapsed" in data), event)
        case "action_ignored":
            return _after_event(state, event)
        case "quest_completed":
            return replace(after_completion(state), version=version)
        case "reward_claimed":
            return replace(state, version=version, claims=state.claims + 1)
        case "reward_revoked":
            return replace(state, version=version, claims=state.claims - 1)
        case "scans_reordered" | "scans_retracted":
            return replace(state_from_json(data["after"]), version=version, claims=state.claims)
        case _:
            return replace(state, version=version)


def after_step(state: QuestState, step: Step | None, stepped_at: datetime | None, *, lapsed: bool) -> QuestState:
    """Return the state with one more step, or with this one only if the steps before it have lapsed."""
    steps = () if lapsed else state.steps
    return replace(
        state,
        progress=1 if lapsed else state.progress + 1,
        steps=steps if step is None else (*steps, step),
        last_step_at=stepped_at or state.last_step_at,
    )


def after_completion(state: QuestState) -> QuestState:
    """Return the state at the start of the next round."""
    return replace(state, progress=0, completions=state.completions + 1, steps=())


def _after_event(state: QuestState, event: QuestEvent) -> QuestState:
    """Return the state with the version, and with the time and zone of the action if it is the newest one."""
    version = state.version + 1
    if "scanned_at" in event.data or "time_zone" in event.data:
        at = acted_at(event)
        if state.last_action_at is None or at >= state.last_action_at:
            return replace(state, version=version, last_action_at=at, last_zone=event.data.get("time_zone"))
    return replace(state, version=version)


def fold(events: Iterable[QuestEvent], state: QuestState | None = None) -> QuestState:
    """Return the state after these events. Without `state`, start from the initial one."""
    state = QuestState() if state is None else state
    for event in events:
        state = evolve(state, event)
    return state


def status_of(events: Sequence[QuestEvent]) -> QuestStatus:
    """Return the `status` of the response to an action with these events."""
    types = {event.type for event in events}
    if "reward_claimed" in types:
        return "claimed"
    if "quest_completed" in types:
        return "completed"
    if any(event.data.get("reason") == "max_completions_reached" for event in events):
        return "max_completions_reached"
    return "in_progress"


def indexes_of(
    texts: Collection[str], tags: Sequence[str], *, codes: Sequence[str], wanted_tags: Sequence[str]
) -> tuple[int, ...]:
    """Return the indexes of a code in a quest's list of codes, or of its tags. Empty if the quest does not name it.

    `texts` has the text of the code and its aliases.
    """
    if codes:
        return tuple(index for index, wanted_code in enumerate(codes) if wanted_code in texts)
    return tuple(index for index, wanted_tag in enumerate(wanted_tags) if wanted_tag in tags)


def _claim(state: QuestState, command: ClaimReward, quest: Quest) -> list[QuestEvent]:
    if quest.reward is None:
        raise NoReward
    if state.is_claimable:
        return [claimed(state, command.at, quest.reward, quest.terms())]
    raise RewardFullyClaimed if state.claims >= quest.duplication else QuestNotCompleted


def claimed(state: QuestState, at: datetime, reward: QuestReward, terms: Mapping[str, Any]) -> QuestEvent:
    """Return the claim of the oldest completion that is not claimed yet."""
    claim = {"completion": state.claims + 1, **reward.to_json(), "terms": terms}
    return QuestEvent("reward_claimed", at, claim)


def _track(state: QuestState, action: QuestAction, quest: Quest) -> list[QuestEvent]:
    reason, lapsed, completes = judge(state, action, quest)
    data = action.data(quest)
    if reason is not None:
        events = [QuestEvent("action_ignored", action.at, data | {"reason": reason}, action.scan_id)]
    else:
        if quest.step_interval is not None:
            data["stepped_at"] = action.at.isoformat()
        events = [QuestEvent("quest_step", action.at, data | ({"lapsed": True} if lapsed else {}), action.scan_id)]
    if completes:
        events.append(QuestEvent("quest_completed", action.at, {"terms": data["terms"]}))
        if quest.auto_claim and quest.reward is not None:
            events.append(claimed(state, action.at, quest.reward, data["terms"]))
    return events


class Judgment(NamedTuple):
    """What an action does to a quest."""

    reason: IgnoredReason | None
    """Why it is ignored. None: it is a step."""
    lapsed: bool
    """Whether the steps before it have expired."""
    completes: bool
    """Whether it completes the quest."""


def judge(state: QuestState, action: QuestAction, quest: Quest) -> Judgment:
    """Return what an action does.

    An ignored action completes a quest whose goal is lower than when the steps of the player were made: there may be no
    code left that could be the next step.
    """
    lapsed = _is_lapsed(state, action, quest)
    current = replace(state, progress=0, steps=()) if lapsed else state
    reason = _ignored_reason(current, action, quest)
    progress = current.progress + (reason is None)
    return Judgment(reason, lapsed, reason != "max_completions_reached" and progress >= quest.streak)


def _is_lapsed(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """Return whether the steps of the current round or streak have expired."""
    if quest.daily:
        if state.last_action_at is None or state.last_zone is None:
            return False
        zone = time_zone_or_utc(state.last_zone)
        return days_between(state.last_action_at, zone, action.at, action.zone) > 1 + quest.grace_days
    if quest.within is None or not state.steps:
        return False
    return action.at - min(step.at for step in state.steps) > quest.within


def _is_day_counted(state: QuestState, action: QuestAction) -> bool:
    """True if the last step was on this date, in the zone in which the player is now."""
    return state.last_step_at is not None and action.day <= state.last_step_at.astimezone(action.zone).date()


def _is_too_soon(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """True if an action is within the least time between two steps."""
    if quest.step_interval is None or state.last_step_at is None:
        return False
    return action.at - state.last_step_at < quest.step_interval


def _is_too_old(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """True if an action that arrives late is too old to be a step of the current round."""
    if quest.within is None or not state.steps:
        return False
    return max(step.at for step in state.steps) - action.at > quest.within


def _ignored_reason(state: QuestState, action: QuestAction, quest: Quest) -> IgnoredReason | None:
    """Return why the action is ignored, or None if it is a step."""
    if state.completions >= quest.duplication:
        return "max_completions_reached"
    if quest.daily and _is_day_counted(state, action):
        return "day_already_counted"
    if _is_too_soon(state, action, quest):
        return "too_soon"
    if quest.daily:
        return None
    if _is_too_old(state, action, quest):
        return "too_old"
    if quest.in_order:
        return None if len(state.steps) in action.indexes else "out_of_order"
    if quest.by_scans and action.code_id in {step.code_id for step in state.steps}:
        return "already_visited"
    return None
