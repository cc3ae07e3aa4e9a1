"""Retracts annulled scans: computes the events that lead to the state without them. Pure."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.quests.recount import actions_of, recount, retracted_scans
from shared.quests.rules import QuestEvent, QuestReward, fold, state_to_json


def retract_events(events: Sequence[QuestEvent], scan_ids: Collection[UUID], at: datetime) -> list[QuestEvent]:
    """Return the events that compensate scans which no longer count.

    `events` are all of one player and quest, in order. All other actions are decided again in the order of their own
    time, each by the definition of that time. Progress, streak and completions become what they would have been. Of the
    completions that are no longer earned, the newest are revoked first, with their claimed rewards. A completion that
    is earned only now is paid if the quest pays automatically. In such a quest, a completion whose reward changes is
    revoked and paid again.
    """
    retracted_before = retracted_scans(events)
    newly_retracted = [
        event.scan_id for event in events if event.scan_id in scan_ids and event.scan_id not in retracted_before
    ]
    if not newly_retracted:
        return []
    before = fold(events)
    after, automatic = recount(actions_of(events, retracted_before.union(scan_ids)))
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
        if completion <= after.completions and (not is_automatic or automatic[completion]["reward"] == reward)
    }
    for completion in sorted(unrevoked.keys() - still_earned, reverse=True):
        reward = {"completion": completion, **unrevoked[completion]}
        retracted.append(QuestEvent("reward_revoked", at, reward))
    for completion, terms in enumerate(automatic.values(), 1):
        if completion not in still_earned:
            reward = {"completion": completion, **terms["reward"]}
            retracted.append(QuestEvent("reward_claimed", at, reward | {"terms": terms}))
    return retracted


def _unrevoked_claims(events: Iterable[QuestEvent]) -> dict[int, dict[str, Any]]:
    """Return the claimed reward of each completion, unless it was revoked."""
    claims: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.type == "reward_claimed":
            claims[event.data["completion"]] = QuestReward.from_json(event.data).to_json()
        elif event.type == "reward_revoked":
            del claims[event.data["completion"]]
    return claims
