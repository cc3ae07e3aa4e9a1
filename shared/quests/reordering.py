"""Decides a scan that arrives after later ones of the same player and quest, such as one made offline. Pure."""

from collections.abc import Sequence

from shared.quests.recount import recount
from shared.quests.rules import (
    Quest,
    QuestAction,
    QuestEvent,
    QuestReward,
    QuestState,
    claimed,
    decide,
    fold,
    state_to_json,
)

MAX_EVENTS = 1_000
"""Deciding as many actions again takes some milliseconds for each late scan, in which its player is locked. A player
who has more events of a quest gets late scans counted in the order of arrival."""


def is_late(state: QuestState, action: QuestAction) -> bool:
    """True if a newer action, or one of the same time, has been decided already, and all can be decided again."""
    if state.last_action_at is None or state.version > MAX_EVENTS:
        return False
    return action.at <= state.last_action_at


def decide_late(
    before: QuestState, actions: Sequence[tuple[QuestAction, Quest]], action: QuestAction, quest: Quest
) -> list[QuestEvent]:
    """Return the events of an action that arrives late. `actions` are those that have led to the state before it.

    All actions are decided again in the order of their own time, so progress and completions become what they would
    have been in this order. A completion that is earned only now is paid if the quest pays automatically. No completion
    is undone: an action that would undo one is ignored forever.
    """
    after, automatic = recount([*actions, (action, quest)])
    data = action.data(quest)
    if after.completions < before.completions:
        return [QuestEvent("action_ignored", action.at, data | {"reason": "undoes_completion"}, action.scan_id)]
    in_turn = decide(before, action, quest)
    if _content(fold(in_turn, before)) == _content(after):
        return in_turn
    if _content(after) == _content(before):
        return [QuestEvent("action_ignored", action.at, data | {"reason": "too_old"}, action.scan_id)]
    states = {"before": state_to_json(before), "after": state_to_json(after)}
    new_events = [QuestEvent("scans_reordered", action.at, data | states, action.scan_id)]
    for completion, terms in automatic.items():
        if completion > before.completions:
            reward = QuestReward.from_json(terms["reward"])
            new_events.append(claimed(fold(new_events, before), action.at, reward, terms))
    return new_events


def _content(state: QuestState) -> tuple[object, ...]:
    """Return what an action changes, besides its time."""
    return state.progress, state.completions, state.steps, state.last_step_at
