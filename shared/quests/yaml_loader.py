"""Reads and validates quests in YAML."""

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.infra.schema_types import TextFormat
from shared.quests.definitions import QuestDefinition, RewardDefinition
from shared.validation_messages import errors_of

DEFAULT_QUESTS = Path(__file__).with_name("default_quests.yaml")
NAME = r"^[a-z0-9](-?[a-z0-9])*$"

StrictInt = Annotated[int, Field(strict=True)]
StrictBool = Annotated[bool, Field(strict=True)]
Code = Annotated[str, TextFormat(r"^[A-Za-z0-9_-]{3,64}$", "Use 3 to 64 letters, digits, - or _.")]


def _one_line(max_length: int) -> TextFormat:
    message = f"Use one line of 1 to {max_length} characters."
    return TextFormat(r"^[^\x00-\x1f\x7f]+$", message, max_length=max_length)


Tag = Annotated[str, _one_line(100)]


class QuestFileError(Exception):
    """The file is invalid. The message has the position, the field and the accepted values."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RewardEntry(_Entry):
    name: Annotated[str, _one_line(200)]
    item: Annotated[str, _one_line(100)]
    quantity: Annotated[StrictInt, Field(ge=1, le=1_000_000)]


class ScansEntry(_Entry):
    codes: Annotated[list[Code], Field(min_length=1, max_length=200)] | None = None
    tags: Annotated[list[Tag], Field(min_length=1, max_length=200)] | None = None
    in_order: StrictBool = False
    within_hours: Annotated[float, Field(gt=0, le=24 * 366)] | None = None

    @model_validator(mode="after")
    def _codes_or_tags(self) -> Self:
        if (self.codes is None) == (self.tags is None):
            raise ValueError("Give either codes or tags.")
        return self

    @property
    def count(self) -> int:
        return len(self.codes or self.tags or ())

    @property
    def distinct(self) -> int:
        return len(set(self.codes or ()))


class QuestEntry(_Entry):
    name: Annotated[
        str,
        TextFormat(NAME, "Use 1 to 100 lowercase letters and digits, with single hyphens between.", max_length=100),
    ]
    description: Annotated[
        str, TextFormat(r"^[^\x00]*$", "Use at most 2,000 characters, without NUL.", max_length=2_000)
    ] = ""
    streak: Annotated[StrictInt, Field(ge=1, le=10_000)]
    duplication: Annotated[StrictInt, Field(ge=1, le=1_000_000)]
    auto_claim: StrictBool = False
    reward: RewardEntry | None = None
    daily: StrictBool = False
    grace_days: Annotated[StrictInt, Field(ge=0, le=30)] = 0
    min_interval_seconds: Annotated[StrictInt, Field(ge=0, le=31 * 24 * 3600)] = 0
    scans: ScansEntry | None = None

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        scans = self.scans
        if self.grace_days and not self.daily:
            raise ValueError("Set daily to true, or remove grace_days.")
        if self.daily and scans and (scans.in_order or scans.within_hours):
            raise ValueError("A daily quest cannot have in_order or within_hours.")
        if scans and scans.in_order and self.streak != scans.count:
            raise ValueError(f"Set streak to {scans.count}, the number of entries in order.")
        if scans and scans.codes and not (self.daily or scans.in_order) and self.streak > scans.distinct:
            raise ValueError(f"Set streak to at most {scans.distinct}, the number of codes.")
        return self

    def definition(self) -> QuestDefinition:
        scans = self.scans or ScansEntry.model_construct()
        return QuestDefinition(
            name=self.name,
            streak=self.streak,
            duplication=self.duplication,
            description=self.description,
            auto_claim=self.auto_claim,
            daily=self.daily,
            grace_days=self.grace_days,
            min_interval_seconds=self.min_interval_seconds,
            codes=scans.codes or (),
            tags=scans.tags or (),
            in_order=scans.in_order,
            within_seconds=round(scans.within_hours * 3600) if scans.within_hours else None,
            reward=None if self.reward is None else RewardDefinition(**self.reward.model_dump()),
        )


class QuestsFile(_Entry):
    quests: Annotated[list[QuestEntry], Field(min_length=1)]


def parse(text: str) -> list[QuestDefinition]:
    """Return the quests of a YAML text. Raises QuestFileError if any of them is invalid."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise QuestFileError(f"Invalid YAML: {error}") from None
    try:
        quests = QuestsFile.model_validate(document).quests
    except ValidationError as error:
        raise QuestFileError(
            "\n".join(_line(list(loc), message, document) for loc, message in errors_of(error))
        ) from None
    for index, quest in enumerate(quests):
        if quest.name in {other.name for other in quests[:index]}:
            raise QuestFileError(f"quests.{index} ({quest.name}): duplicate name")
        for other in quests[:index]:
            if _is_ambiguous(quest.reward, other.reward):
                raise QuestFileError(
                    f"quests.{index} ({quest.name}): reward: {other.name} defines another reward with this name"
                )
    return [quest.definition() for quest in quests]


def _is_ambiguous(one: RewardEntry | None, other: RewardEntry | None) -> bool:
    return one is not None and other is not None and one.name == other.name and one != other


def _line(loc: list[str | int], message: str, document: Any) -> str:
    """Return one line: the position and the name of the quest, the field, and the error."""
    named = ""
    if len(loc) > 1 and isinstance(loc[1], int):
        entry = document["quests"][loc[1]]
        named = f" ({entry['name']})" if isinstance(entry, dict) and isinstance(entry.get("name"), str) else ""
    where = ".".join(map(str, loc[:2])) + named
    field = ".".join(map(str, loc[2:]))
    return f"{where}: {field}: {message}" if field else f"{where or 'the file'}: {message}"
