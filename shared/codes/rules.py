"""What makes sense of a code, field by field and together. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.encounters.rules import PuzzleType, is_solvable
from shared.errors import FieldError

ScanType = Literal["item_drop", "encounter", "transportation"]

CODE_PATTERN = r"^[A-Za-z0-9_-]{3,64}$"
"""The form of a code: what stays itself in a URL, in any case of letters."""


@dataclass(frozen=True)
class CodeReward:
    """What a success pays."""

    item: str
    quantity: int


@dataclass(frozen=True)
class EncounterDefinition:
    """A puzzle. `solution` is for those who make codes, never for those who scan them."""

    puzzle_type: PuzzleType
    difficulty_level: int
    data: Mapping[str, Any] = field(default_factory=dict)
    solution: str | None = None
    max_attempts: int | None = None
    id: UUID | None = None  # given when it is stored; stays while the puzzle changes


@dataclass(frozen=True, kw_only=True)
class CodeDefinition:
    """Everything that an organization decides about a code: degrees, metres, seconds."""

    code: str
    description: str = ""
    scan_type: ScanType | None
    requires_location: bool = False
    latitude: float | None = None
    longitude: float | None = None
    radius_m: float = 50.0
    reward: CodeReward | None = None
    encounter: EncounterDefinition | None = None
    destination_code: str | None = None
    target_url: str | None = None
    active: bool = True
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    max_scans: int | None = None
    per_player_limit: int | None = 1
    cooldown_seconds: int | None = None
    rotating: bool = False
    tags: tuple[str, ...] = ()


DEFAULT_CODE = CodeDefinition(code="", scan_type=None)
"""What a code is where nothing was decided."""


def non_default_fields(code: CodeDefinition) -> dict[str, Any]:
    """What was decided about a code, field by field, without what is as in PLAIN; its puzzle's solution apart."""
    puzzle = code.encounter
    decided: dict[str, Any] = {
        field.name: getattr(code, field.name)
        for field in fields(CodeDefinition)
        if getattr(code, field.name) != getattr(DEFAULT_CODE, field.name)
    }
    if code.reward is not None:
        decided["reward"] = {"item": code.reward.item, "quantity": code.reward.quantity}
    if puzzle is not None:
        decided["encounter"] = {
            "puzzle_type": puzzle.puzzle_type,
            "difficulty_level": puzzle.difficulty_level,
            "data": puzzle.data,
            "max_attempts": puzzle.max_attempts,
        }
        if puzzle.solution is not None:
            decided["solution"] = puzzle.solution
    return decided


def find_errors(code: CodeDefinition) -> tuple[FieldError, ...]:
    """What contradicts itself, named by the field that a form would mark. Each field by itself is right already."""
    return tuple(FieldError(f"body.{name}", message) for name, message in _contradictions(code))


def _contradictions(code: CodeDefinition) -> Iterator[tuple[str, str]]:
    if code.latitude is None and code.longitude is not None:
        yield "latitude", "must come with longitude"
    if code.longitude is None and code.latitude is not None:
        yield "longitude", "must come with latitude"
    if code.requires_location and code.latitude is None and code.longitude is None:
        yield "requires_location", "needs latitude and longitude"
    if code.scan_type is None and code.target_url is None:
        yield "target_url", "is needed where scan_type is null: the code would lead nowhere"
    if code.starts_at is not None and code.expires_at is not None and code.starts_at >= code.expires_at:
        yield "expires_at", "must be later than starts_at"
    puzzle = code.encounter
    if puzzle is not None and puzzle.solution is not None and not is_solvable(puzzle.puzzle_type, puzzle.solution):
        yield "encounter.solution", f"holds nothing that an answer to a {puzzle.puzzle_type} could be compared with"
    if code.destination_code == code.code:
        yield "destination_code", "must be another code"
