"""Decides the actions of one player and quest again, in the order of their own time. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from shared.quests.rules import (
    ACTION_EVENTS,
    Quest,
    QuestAction,
    QuestEvent,
    QuestState,
    Step,
    after_completion,
    after_step,
    judge,
)


class Recount(NamedTuple):
    """The state that actions lead to, and the terms of the completions that are claimed automatically, by number."""

    state: QuestState
    automatic: dict[int, dict[str, Any]]


def actions_of(events: Iterable[QuestEvent], without: Collection[UUID] = ()) -> list[tuple[QuestAction, Quest]]:
    """Return the actions of these events that count, each with the quest of its time. Leave out these scans."""
    return [
        (QuestAction.of_event(event), Quest.from_terms(event.data["terms"]))
        for event in events
        if event.type in ACTION_EVENTS
        and event.scan_id not in without
        and event.data.get("reason") != "undoes_completion"
    ]


def recount(actions: Iterable[tuple[QuestAction, Quest]]) -> Recount:
    """Decide these actions in the order of their own time, each by its quest. No reward is claimed."""
    # Without events, whose data takes most of the time of `decide` and `evolve`.
    state, automatic = QuestState(), dict[int, dict[str, Any]]()
    for action, quest in sorted(actions, key=lambda pair: pair[0].order):
        reason, lapsed, completes = judge(state, action, quest)
        if reason is None:
            step = Step(action.code_id, action.at) if action.code_id is not None and not quest.daily else None
            stepped_at = action.at if quest.step_interval is not None else None
            state = after_step(state, step, stepped_at, lapsed=lapsed)
        if completes:
            state = after_completion(state)
            if quest.auto_claim and quest.reward is not None:
                automatic[state.completions] = quest.terms()
        if action.code_id is not None or quest.daily:
            state = replace(state, last_action_at=action.at, last_zone=action.zone.key if quest.daily else None)
    return Recount(state, automatic)


def retracted_scans(events: Iterable[QuestEvent]) -> set[UUID]:
    """Return the scans that these events have retracted."""
    return {UUID(scan) for event in events if event.type == "scans_retracted" for scan in event.data["scan_ids"]}
