"""A code as those describe it who make it: one definition for bodies of requests and rows of files."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from shared.codes import rules
from shared.codes.rules import CodeReward, EncounterDefinition, ScanType
from shared.encounters.rules import PuzzleType
from shared.infra.schema_types import (
    Body,
    FiniteFloat,
    HttpUrl,
    Integer,
    Latitude,
    Longitude,
    PositiveInt,
    SingleLine,
    StrictBool,
    Text,
    Timestamp,
)

CodeText = Annotated[str, StringConstraints(pattern=rules.CODE_PATTERN)]
TagText = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^|\x00-\x1f\x7f]+$")]
MaxScans = Annotated[Integer, Field(ge=1, le=10**12)]


class RewardBody(Body):
    item: Annotated[SingleLine, StringConstraints(min_length=1, max_length=100)]
    quantity: Annotated[PositiveInt, Field(le=1_000_000)]


class EncounterBody(Body):
    """A puzzle. It replaces the one before as a whole."""

    puzzle_type: PuzzleType
    difficulty_level: Annotated[PositiveInt, Field(le=10)]
    data: dict[str, Any] = Field(default_factory=dict, description="What the player is shown")
    solution: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] | None = None
    max_attempts: PositiveInt | None = None


class CodeFields(Body):
    """What may be said of a code besides its text and its scan type."""

    description: Text = ""
    requires_location: StrictBool = False
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    radius_m: Annotated[FiniteFloat, Field(ge=5, le=50_000, description="Metres")] = 50.0
    reward: RewardBody | None = None
    encounter: EncounterBody | None = None
    destination_code: CodeText | None = Field(None, description="A code of this organization")
    target_url: HttpUrl | None = None
    active: StrictBool = True
    starts_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    max_scans: MaxScans | None = Field(None, description="Successes of all players together; null: no limit")
    per_player_limit: PositiveInt | None = Field(1, description="Successes of one player; null: no limit")
    cooldown_seconds: PositiveInt | None = None
    rotating: StrictBool = False
    tags: Annotated[list[TagText], Field(max_length=50)] = Field(default_factory=list)


class CodeBody(CodeFields):
    """A code to make. Without `code` it gets one that nobody guesses."""

    code: CodeText | None = None
    scan_type: ScanType | None = Field(description="null: the code only redirects, to target_url")


def to_definition_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """A body's fields as the rules take them."""
    told = dict(given)
    if given.get("reward") is not None:
        told["reward"] = CodeReward(**given["reward"].model_dump())
    if given.get("encounter") is not None:
        told["encounter"] = EncounterDefinition(**given["encounter"].model_dump())
    if "tags" in given:
        told["tags"] = tuple(dict.fromkeys(given["tags"]))
    return told
