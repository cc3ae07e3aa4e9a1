"""The fields of a code as clients send them: one definition for request bodies and CSV rows."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from shared.codes import rules
from shared.codes.rotation import DEFAULT_SECONDS, MAX_SECONDS, MIN_SECONDS
from shared.codes.rules import CodeReward, EncounterDefinition, ScanType
from shared.codes.target_urls import TargetUrl
from shared.encounters.rules import PuzzleType
from shared.infra.schema_types import (
    Body,
    FiniteFloat,
    Latitude,
    Longitude,
    PositiveInt,
    StrictBool,
    Text,
    TextFormat,
    Timestamp,
    WholeNumber,
    single_line,
)

CodeText = Annotated[str, TextFormat(rules.CODE_PATTERN, "Use 3 to 64 letters, digits, - or _.")]
TagText = Annotated[
    str,
    TextFormat(
        r"^[^|\x00-\x1f\x7f]+$",
        "Use 1 to 64 characters on one line, without |.",
        min_length=1,
        max_length=64,
    ),
]
MaxScans = Annotated[int, WholeNumber(1, 10**12)]


def _is_short(data: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(data, ensure_ascii=False).encode())
    if size > rules.MAX_PUZZLE_BYTES:
        raise ValueError(f"Use at most {rules.MAX_PUZZLE_BYTES:,} bytes as JSON. These are {size:,}.")
    return data


PuzzleData = Annotated[dict[str, Any], AfterValidator(_is_short)]


class RewardBody(Body):
    item: Annotated[str, single_line(100)]
    quantity: Annotated[int, WholeNumber(1, 1_000_000)]


class EncounterBody(Body):
    """A puzzle. It replaces the puzzle of the code as a whole."""

    puzzle_type: PuzzleType
    difficulty_level: Annotated[int, WholeNumber(1, 10)]
    data: PuzzleData = Field(default_factory=dict, description="Shown to the player; at most 16,384 bytes as JSON")
    solution: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] | None = None
    max_attempts: PositiveInt | None = None


class CodeFields(Body):
    """All fields of a code except its text and its scan type."""

    description: Text = ""
    requires_location: StrictBool = False
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    radius_m: Annotated[FiniteFloat, Field(ge=5, le=50_000, description="Meters")] = 50.0
    reward: RewardBody | None = None
    encounter: EncounterBody | None = None
    destination_code: CodeText | None = Field(
        None, description="Another code of this organization, by its text or an alias. It follows a rename"
    )
    target_url: TargetUrl | None = None
    active: StrictBool = True
    starts_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    max_scans: MaxScans | None = Field(None, description="Successful scans by all players; null: no limit")
    per_player_limit: PositiveInt | None = Field(1, description="Successful scans by one player; null: no limit")
    cooldown_seconds: Annotated[int, WholeNumber(0, 2**31 - 1)] | None = Field(
        None, description="Seconds between two successful scans by one player; 0 or null: none"
    )
    offline_hours: Annotated[FiniteFloat, Field(ge=0, le=24 * 90)] | None = Field(
        None, description="Hours by which a scan may arrive late; 0: live only; null: as the installation allows"
    )
    answer_within_hours: Annotated[FiniteFloat, Field(gt=0, le=8_760)] = Field(
        24.0, description="Hours after a scan in which the puzzle that it opened can be answered"
    )
    rotating: StrictBool = Field(
        False, description="True: the code is shown on screens only, and its image changes every `rotation_seconds`"
    )
    rotation_seconds: Annotated[int, WholeNumber(MIN_SECONDS, MAX_SECONDS)] = Field(
        DEFAULT_SECONDS, description="Seconds for which a rotating code shows one image"
    )
    tags: Annotated[list[TagText], Field(max_length=rules.MAX_TAGS)] = Field(default_factory=list)


class CodeBody(CodeFields):
    """A new code. Without `code`, a random text of 12 characters is generated."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "code": "spy123",
                    "scan_type": "item_drop",
                    "description": "Behind the statue",
                    "requires_location": True,
                    "latitude": 52.3731,
                    "longitude": 4.8926,
                    "radius_m": 50,
                    "reward": {"item": "spy_gadget", "quantity": 1},
                    "tags": ["city-walk"],
                },
                {"scan_type": None, "target_url": "https://museum.example/visit"},
            ]
        }
    )

    code: CodeText | None = None
    scan_type: ScanType | None = Field(description="null: the code only redirects to `target_url`")


def to_definition_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a body as arguments of CodeDefinition."""
    definition = dict(body)
    if body.get("reward") is not None:
        definition["reward"] = CodeReward(**body["reward"].model_dump())
    if body.get("encounter") is not None:
        definition["encounter"] = EncounterDefinition(**body["encounter"].model_dump())
    if "tags" in body:
        definition["tags"] = tuple(dict.fromkeys(body["tags"]))
    return definition
