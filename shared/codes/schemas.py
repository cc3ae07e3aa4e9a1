"""A code as those describe it who make it: one definition for bodies of requests and rows of files."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from shared.codes import rules
from shared.codes.rules import Encounter, Reward, ScanType
from shared.encounters.rules import PuzzleType
from shared.infra.schema_types import AnyWhole, Body, Count, Flag, Latitude, Line, Longitude, Number, Text, Time, WebUrl

CodeText = Annotated[str, StringConstraints(pattern=rules.CODE)]
TagText = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^|\x00-\x1f\x7f]+$")]
Stock = Annotated[AnyWhole, Field(ge=1, le=10**12)]


class RewardBody(Body):
    item: Annotated[Line, StringConstraints(min_length=1, max_length=100)]
    quantity: Annotated[Count, Field(le=1_000_000)]


class EncounterBody(Body):
    """A puzzle. It replaces the one before as a whole."""

    puzzle_type: PuzzleType
    difficulty_level: Annotated[Count, Field(le=10)]
    data: dict[str, Any] = Field(default_factory=dict, description="What the player is shown")
    solution: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] | None = None
    max_attempts: Count | None = None


class CodeFields(Body):
    """What may be said of a code besides its text and its scan type."""

    description: Text = ""
    requires_location: Flag = False
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    radius_m: Annotated[Number, Field(ge=5, le=50_000, description="Metres")] = 50.0
    reward: RewardBody | None = None
    encounter: EncounterBody | None = None
    destination_code: CodeText | None = Field(None, description="A code of this organization")
    target_url: WebUrl | None = None
    active: Flag = True
    starts_at: Time | None = None
    expires_at: Time | None = None
    max_scans: Stock | None = Field(None, description="Successes of all players together; null: no limit")
    per_player_limit: Count | None = Field(1, description="Successes of one player; null: no limit")
    cooldown_seconds: Count | None = None
    rotating: Flag = False
    tags: Annotated[list[TagText], Field(max_length=50)] = Field(default_factory=list)


class CodeBody(CodeFields):
    """A code to make. Without `code` it gets one that nobody guesses."""

    code: CodeText | None = None
    scan_type: ScanType | None = Field(description="null: the code only redirects, to target_url")


def decided(given: Mapping[str, Any]) -> dict[str, Any]:
    """A body's fields as the rules take them."""
    told = dict(given)
    if given.get("reward") is not None:
        told["reward"] = Reward(**given["reward"].model_dump())
    if given.get("encounter") is not None:
        told["encounter"] = Encounter(**given["encounter"].model_dump())
    if "tags" in given:
        told["tags"] = tuple(dict.fromkeys(given["tags"]))
    return told
