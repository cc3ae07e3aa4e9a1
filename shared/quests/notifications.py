"""The live events of a player's quests: progress, completions and rewards. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from shared.quests.rules import QuestEvent, QuestReward, QuestState, evolve

LiveEvent = tuple[str, dict[str, Any]]
"""An event's type and its data, as in the event log."""


def live_events(quest: str, state: QuestState, events: Iterable[QuestEvent]) -> Iterator[LiveEvent]:
    """Yield the live events for these events of a quest, in order. An event without progress has none."""
    for event in events:
        state = evolve(state, event)
        match event.type:
            case "quest_step":
                yield "quest_progress", {"quest": quest, "progress": state.progress, "streak": _streak(event)}
            case "quest_completed":
                yield "quest_completed", {"quest": quest, "completions": state.completions}
            case "reward_claimed":
                reward = QuestReward.from_json(event.data).to_json()
                yield "reward_granted", {"quest": quest, "reward": reward.pop("item"), **reward}
            case "scans_retracted":
                yield "quest_progress", {"quest": quest, "progress": state.progress}
            case "scans_reordered":
                yield "quest_progress", {"quest": quest, "progress": state.progress, "streak": _streak(event)}
                for completions in range(event.data["before"]["completions"] + 1, state.completions + 1):
                    yield "quest_completed", {"quest": quest, "completions": completions}


def _streak(event: QuestEvent) -> int:
    return int(event.data["terms"]["streak"])
