"""The fields of a quest, in the body of a request and in a YAML file."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from shared.infra.schema_types import Body, StrictBool, TextFormat, WholeNumber, single_line
from shared.quests.definitions import QuestDefinition
from shared.quests.rewards import RewardDefinition

MAX_ENTRIES = 200
"""Codes or tags of a quest."""
MAX_SECONDS = 366 * 24 * 3600


RESERVED_NAMES = ("new", "simulate")
"""Names of pages and routes."""


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"Use another name: {name} is reserved.")
    return name


QuestName = Annotated[
    str,
    TextFormat(
        r"^[a-z0-9](-?[a-z0-9])*$",
        "Use 1 to 100 lowercase letters and digits, with single hyphens between.",
        max_length=100,
    ),
    AfterValidator(_not_reserved),
]
Code = Annotated[str, TextFormat(r"^[A-Za-z0-9_-]{3,64}$", "Use 3 to 64 letters, digits, - or _.")]
Tag = Annotated[str, TextFormat(r"^[^\x00-\x1f\x7f]+$", "Use one line of 1 to 100 characters.", max_length=100)]
Description = Annotated[str, TextFormat(r"^[^\x00]*$", "Use at most 2,000 characters, without NUL.", max_length=2_000)]
Streak = Annotated[int, WholeNumber(1, 10_000)]


class QuestRewardBody(Body):
    """The reward of a completion."""

    name: Annotated[str, single_line(200)] | None = Field(
        None,
        description="Name of a reward that several quests of the operator share; null: the name of the quest",
        examples=[None],
    )
    item: Annotated[str, single_line(100)] = Field(description="Name of the item", examples=["badge"])
    quantity: Annotated[int, WholeNumber(1, 1_000_000)] = Field(description="Number of items", examples=[1])


class QuestFields(Body):
    """The fields of a quest besides its name. Those that contradict each other are refused."""

    description: Description = Field(
        "", description="What players do to complete it", examples=["Visit five landmarks of the harbor."]
    )
    streak: Streak = Field(description="Number of steps that complete it", examples=[5])
    duplication: Annotated[int, WholeNumber(1, 1_000_000)] = Field(
        1, description="How often a player can complete it", examples=[1]
    )
    auto_claim: StrictBool = Field(False, description="True if a completion claims its reward automatically")
    reward: QuestRewardBody | None = Field(None, description="Reward of a completion; null: none")
    daily: StrictBool = Field(False, description="Each day counts once, in the player's time zone")
    grace_days: Annotated[int, WholeNumber(0, 30)] = Field(
        0, description="Days that may be missed between two counted days; with `daily` only", examples=[0]
    )
    min_interval_seconds: Annotated[int, WholeNumber(0, 31 * 24 * 3600)] = Field(
        0, description="An action so soon after the last step does not count", examples=[0]
    )
    codes: Annotated[list[Code], Field(max_length=MAX_ENTRIES)] = Field(
        default_factory=list, description="Texts of the codes whose scans advance it", examples=[[]]
    )
    tags: Annotated[list[Tag], Field(max_length=MAX_ENTRIES)] = Field(
        default_factory=list,
        description="Instead of `codes`: scans of codes with one of these tags advance it",
        examples=[["landmark"]],
    )
    in_order: StrictBool = Field(False, description="True if `codes` or `tags` count in their order only")
    within_seconds: Annotated[int, WholeNumber(1, MAX_SECONDS)] | None = Field(
        None, description="Time from the first to the last step of a completion; null: no limit", examples=[None]
    )


class QuestEntry(QuestFields):
    """A quest with its name."""

    name: QuestName = Field(
        description="1 to 100 of a-z, 0-9 and single hyphens, unique in the installation. It cannot be changed",
        examples=["harbor-trail"],
    )

    def definition(self) -> QuestDefinition:
        return QuestDefinition(**to_definition_fields({name: getattr(self, name) for name in QuestEntry.model_fields}))


def to_definition_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a body as arguments of QuestDefinition."""
    fields = dict(body)
    if body.get("reward") is not None:
        fields["reward"] = RewardDefinition(**body["reward"].model_dump())
    return fields | {name: tuple(body[name]) for name in ("codes", "tags") if name in body}
