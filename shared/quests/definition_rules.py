"""The rules that a definition of a quest obeys as a whole. Pure."""

from collections.abc import Iterator

from shared.errors import FieldError
from shared.quests.definitions import QuestDefinition


def find_errors(quest: QuestDefinition) -> list[FieldError]:
    """Return how the fields contradict each other. The location of an error is the name of a field."""
    return [FieldError(field, message) for field, message in _contradictions(quest)]


def _contradictions(quest: QuestDefinition) -> Iterator[tuple[str, str]]:
    count, distinct = len(quest.codes or quest.tags), len(set(quest.codes))
    if quest.codes and quest.tags:
        yield "tags", "Give either codes or tags."
        return
    if not (quest.codes or quest.tags):
        if quest.in_order:
            yield "in_order", "Give codes or tags, or set in_order to false."
        if quest.within_seconds is not None:
            yield "within_seconds", "Give codes or tags, or remove within_seconds."
    if quest.grace_days and not quest.daily:
        yield "grace_days", "Set daily to true, or remove grace_days."
    if quest.daily and (quest.in_order or quest.within_seconds is not None):
        yield "daily", "A daily quest cannot have in_order or within_seconds."
    elif quest.in_order and count and quest.streak != count:
        yield "streak", f"Set streak to {count}, the number of entries in order."
    elif quest.codes and not quest.daily and not quest.in_order and quest.streak > distinct:
        yield "streak", f"Set streak to at most {distinct}, the number of codes."
