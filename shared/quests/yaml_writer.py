"""Writes quests in YAML, in the format that `yaml_loader` reads."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import yaml

from shared.quests.definitions import QuestDefinition


def dump(quests: Iterable[QuestDefinition]) -> str:
    """Return a document with the definitions of these quests. Fields with their default values are left out."""
    document = {"quests": [_entry(quest) for quest in quests]}
    return yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120)


def _entry(quest: QuestDefinition) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for field in fields(QuestDefinition):
        value = getattr(quest, field.name)
        if isinstance(value, tuple | list):
            value = list(value)
        if value not in (field.default, []):
            entry[field.name] = value
    if quest.reward is not None:
        entry["reward"] = {name: value for name, value in vars(quest.reward).items() if value is not None}
    return entry
