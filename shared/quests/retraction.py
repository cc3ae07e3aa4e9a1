"""Retracts annulled scans: computes the events that lead to the state without them. Pure."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from shared.quests.rules import Quest, QuestAction, QuestEvent, QuestReward, QuestState, decide, fold, state_to_json

EPOCH_DAY = date.min


def retract_events(events: Sequence[QuestEvent], scan_ids: Collection[UUID], at: datetime) -> list[QuestEvent]:
    """Return the events that compensate scans which no longer count.

    `events` are all of one player and quest, in order. Every other action is decided again, by the definition of its
    time. Progress, streak and completions become what they would have been. Of the completions that are no longer
    earned, the newest are revoked first, with their claimed rewards. A completion that is earned only now is paid if
    the quest pays automatically. In such a quest, a completion whose reward changes is revoked and paid again.
    """
    retracted_before = {
        UUID(scan) for event in events if event.type == "scans_retracted" for scan in event.data["scan_ids"]
    }
    newly_retracted = [
        event.scan_id for event in events if event.scan_id in scan_ids and event.scan_id not in retracted_before
    ]
    if not newly_retracted:
        return []
    before = fold(events)
    after, automatic = _replay_without(events, retracted_before.union(scan_ids))
    data = {
        "scan_ids": sorted(map(str, newly_retracted)),
        "before": state_to_json(before),
        "after": state_to_json(after),
    }
    retracted = [QuestEvent("scans_retracted", at, data)]
    unrevoked = _unrevoked_claims(events)
    is_automatic = len(automatic) == after.completions
    still_earned = {
        completion
        for completion, reward in unrevoked.items()
        if completion <= after.completions and (not is_automatic or automatic[completion - 1]["reward"] == reward)
    }
    for completion in sorted(unrevoked.keys() - still_earned, reverse=True):
        reward = {"completion": completion, **unrevoked[completion]}
        retracted.append(QuestEvent("reward_revoked", at, reward))
    for completion, terms in enumerate(automatic, 1):
        if completion not in still_earned:
            reward = {"completion": completion, **terms["reward"]}
            retracted.append(QuestEvent("reward_claimed", at, reward | {"terms": terms}))
    return retracted


def _replay_without(events: Iterable[QuestEvent], without: Collection[UUID]) -> tuple[QuestState, list[dict[str, Any]]]:
    """Return the state after the remaining actions, and the terms of each completion that is claimed automatically."""
    state, automatic = QuestState(), []
    for event in events:
        if event.type not in ("quest_step", "action_ignored") or event.scan_id in without:
            continue
        quest = Quest.from_terms(event.data["terms"])
        decided = decide(state, _action(event), quest)
        state = fold((step for step in decided if step.type != "reward_claimed"), state)
        automatic += [step.data["terms"] for step in decided if step.type == "reward_claimed"]
    return state, automatic


def _action(event: QuestEvent) -> QuestAction:
    """Return the action that an event was decided for."""
    data = event.data
    return QuestAction(
        at=datetime.fromisoformat(data["scanned_at"]) if "scanned_at" in data else event.at,
        day=date.fromisoformat(data["day"]) if "day" in data else EPOCH_DAY,
        scan_id=event.scan_id,
        code_id=UUID(data["code_id"]) if "code_id" in data else None,
        indexes=tuple(data.get("indexes", ())),
    )


def _unrevoked_claims(events: Iterable[QuestEvent]) -> dict[int, dict[str, Any]]:
    """Return the claimed reward of each completion, unless it was revoked."""
    claims: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.type == "reward_claimed":
            claims[event.data["completion"]] = QuestReward.from_json(event.data).to_json()
        elif event.type == "reward_revoked":
            del claims[event.data["completion"]]
    return claims
