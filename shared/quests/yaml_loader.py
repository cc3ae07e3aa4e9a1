"""Reads and validates quests in YAML: a document `quests:` with a list of them.

Only what a quest needs is read: mappings, lists, text, whole numbers, true, false and null. Aliases, tags and duplicate
keys are refused, so the time to read a document grows with its size only.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from shared.errors import FieldError
from shared.infra.schema_types import Body
from shared.quests.definition_rules import find_errors
from shared.quests.definitions import QuestDefinition
from shared.quests.schemas import QuestEntry
from shared.validation_messages import errors_of

DEFAULT_QUESTS = Path(__file__).with_name("default_quests.yaml")
MAX_DEPTH = 10
"""Levels of lists and mappings. A quest needs four."""
MAX_EVENTS = 100_000
"""Texts, lists and mappings. A quest of 200 codes needs about 240. They are read in less than 300 ms."""


class QuestFileError(Exception):
    """The file is invalid. The message has the position, the name, the field and the accepted values.

    The location of a field error begins with `quests`, or is empty for the file as a whole.
    """

    def __init__(self, *field_errors: FieldError, document: object = None) -> None:
        self.field_errors = field_errors
        super().__init__("\n".join(_line(error, document) for error in field_errors))


class QuestsFile(Body):
    quests: list[QuestEntry]


def parse(text: str) -> list[QuestDefinition]:
    """Return the quests of a YAML text. Raises QuestFileError if any of them is invalid."""
    document = _read(text)
    try:
        quests = [entry.definition() for entry in QuestsFile.model_validate(document).quests]
    except ValidationError as error:
        errors = [FieldError(".".join(map(str, loc)), message) for loc, message in errors_of(error)]
        raise QuestFileError(*errors, document=document) from None
    if errors := list(_find_errors(quests)):
        raise QuestFileError(*errors, document=document)
    return quests


def _find_errors(quests: Sequence[QuestDefinition]) -> Iterator[FieldError]:
    seen: dict[str, QuestDefinition] = {}
    rewards: dict[str, QuestDefinition] = {}
    for index, quest in enumerate(quests):
        for error in find_errors(quest):
            yield FieldError(f"quests.{index}.{error.loc}", error.message)
        if quest.name in seen:
            yield FieldError(f"quests.{index}.name", "Give each name once.")
        seen[quest.name] = quest
        if quest.reward is not None and quest.reward.name is not None:
            other = rewards.setdefault(quest.reward.name, quest)
            if other.reward != quest.reward:
                yield FieldError(f"quests.{index}.reward", f"{other.name} defines another reward with this name.")


def _line(error: FieldError, document: Any) -> str:
    """Return one line: the position and the name of the quest, the field, and the error."""
    if not error.loc:
        return f"the file: {error.message}"
    parts = error.loc.split(".")
    named = ""
    if document is not None and len(parts) > 1 and parts[1].isdecimal():
        entry = document["quests"][int(parts[1])]
        named = f" ({entry['name']})" if isinstance(entry, dict) and isinstance(entry.get("name"), str) else ""
    where = ".".join(parts[:2]) + named
    field = ".".join(parts[2:])
    return f"{where}: {field}: {error.message}" if field else f"{where}: {error.message}"


class _Loader(yaml.CSafeLoader):
    """Constructs text, whole numbers, true, false and null. Other scalars, such as dates and `yes`, are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name and the type are PyYAML's

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in keys:
                problem = "give each key once" if isinstance(key, yaml.ScalarNode) else "use text as a key"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
# Not longer: the time to read a number grows with the square of its length.
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]{0,17})$"), list("-0123456789"))


def _read(text: str) -> Any:
    try:
        _check_events(text)
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise QuestFileError(FieldError("", f"Invalid YAML: {_explain(error)}.")) from None


def _check_events(text: str) -> None:
    """Raise YAMLError if the text has an alias or a tag, or is too deep or too long. Nothing here is recursive."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        problem = None if number < MAX_EVENTS else "this document has too many entries"
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            problem = "anchors and aliases are not supported"
        elif getattr(event, "tag", None) is not None:
            problem = "tags are not supported"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} levels are not supported"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=cast("yaml.Mark", event.start_mark))


def _explain(error: yaml.YAMLError) -> str:
    """Return what is wrong, and where."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    text = problem or " ".join(str(error).split())
    return f"{text}, in line {mark.line + 1}, column {mark.column + 1}" if mark else text
