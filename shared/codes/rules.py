"""The definition of a code, and which combinations of its fields are valid. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.codes.rotation import DEFAULT_SECONDS
from shared.encounters.rules import PuzzleType, is_solvable
from shared.errors import FieldError

ScanType = Literal["item_drop", "encounter", "transportation"]

CODE_PATTERN = r"^[A-Za-z0-9_-]{3,64}$"
"""The form of a code text: characters that need no escaping in a URL."""
MAX_PUZZLE_BYTES = 16_384
"""Of the data of a puzzle as JSON. Each scan of its code stores a copy."""
MAX_ALIASES = 100
"""Of one code. Quests compare every text of a scanned code."""
MAX_TAGS = 50


@dataclass(frozen=True)
class CodeReward:
    """The item and the quantity that a success gives."""

    item: str
    quantity: int


@dataclass(frozen=True)
class EncounterDefinition:
    """A puzzle. `id` is set once it is stored, and stays while the puzzle changes. Players never see `solution`."""

    puzzle_type: PuzzleType
    difficulty_level: int
    data: Mapping[str, Any] = field(default_factory=dict)
    solution: str | None = None
    max_attempts: int | None = None
    id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class CodeDefinition:
    """All fields of a code that an organization sets: degrees, meters, seconds, hours."""

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
    offline_hours: float | None = None
    answer_within_hours: float = 24.0
    rotating: bool = False
    rotation_seconds: int = DEFAULT_SECONDS
    tags: tuple[str, ...] = ()


CodeWarning = Literal["no_reward", "no_puzzle", "no_solution", "no_puzzle_reward", "no_destination", "photographs"]

WARNINGS: dict[CodeWarning, str] = {
    "no_reward": "Scans of this item_drop give nothing. Set a reward.",
    "no_puzzle": "Scans of this encounter give no puzzle. Set an encounter.",
    "no_solution": "Players cannot solve this puzzle. Set a solution.",
    "no_puzzle_reward": "The right answer to this puzzle gives nothing. Set a reward.",
    "no_destination": "Scans of this transportation lead nowhere. Set a destination_code.",
    "photographs": (
        "A photograph of this rotating code works as long as scans may arrive late. Set offline_hours, 0 for none."
    ),
}
"""In the words of the API. Pages have their own."""

DEFAULT_CODE = CodeDefinition(code="", scan_type=None)
"""A code with the default of each field."""


def field_values(code: CodeDefinition) -> dict[str, Any]:
    """Return all fields as JSON values, with the solution of the puzzle as a field of its own."""
    puzzle = code.encounter
    values: dict[str, Any] = {field.name: getattr(code, field.name) for field in fields(CodeDefinition)}
    if code.reward is not None:
        values["reward"] = {"item": code.reward.item, "quantity": code.reward.quantity}
    if puzzle is not None:
        values["encounter"] = {
            "puzzle_type": puzzle.puzzle_type,
            "difficulty_level": puzzle.difficulty_level,
            "data": puzzle.data,
            "max_attempts": puzzle.max_attempts,
        }
    return values | {"solution": puzzle and puzzle.solution}


def non_default_fields(code: CodeDefinition) -> dict[str, Any]:
    """Return the fields that differ from the defaults, as `field_values` has them."""
    defaults = field_values(DEFAULT_CODE)
    return {name: value for name, value in field_values(code).items() if value != defaults[name]}


def find_warnings(code: CodeDefinition) -> tuple[CodeWarning, ...]:
    """Return why a success of this code gives nothing, and whether photographs of it work; empty if neither.

    Such a code is valid: its reward may follow later.
    """
    photographs: tuple[CodeWarning, ...] = ("photographs",) if code.rotating and code.offline_hours is None else ()
    return (*_reward_warnings(code), *photographs)


def _reward_warnings(code: CodeDefinition) -> tuple[CodeWarning, ...]:
    match code:
        case CodeDefinition(scan_type="item_drop", reward=None):
            return ("no_reward",)
        case CodeDefinition(scan_type="encounter", encounter=None):
            return ("no_puzzle",)
        case CodeDefinition(scan_type="encounter", encounter=EncounterDefinition(solution=None)):
            return ("no_solution",)
        case CodeDefinition(scan_type="encounter", reward=None):
            return ("no_puzzle_reward",)
        case CodeDefinition(scan_type="transportation", destination_code=None):
            return ("no_destination",)
    return ()


def warning_sentences(code: CodeDefinition) -> list[str]:
    """Return the warnings of a code as clients of the API read them."""
    return [WARNINGS[warning] for warning in find_warnings(code)]


def change_tags(tags: Sequence[str], added: Sequence[str], removed: Collection[str]) -> tuple[str, ...]:
    """Return the tags with others added at the end, each once, and without the removed ones."""
    return tuple(tag for tag in dict.fromkeys((*tags, *added)) if tag not in removed)


def find_errors(code: CodeDefinition) -> tuple[FieldError, ...]:
    """Return the errors of fields that contradict each other. Each field by itself is valid already."""
    return tuple(FieldError(f"body.{name}", message) for name, message in _contradictions(code))


def _contradictions(code: CodeDefinition) -> Iterator[tuple[str, str]]:
    if code.latitude is None and code.longitude is not None:
        yield "latitude", "Give latitude and longitude together."
    if code.longitude is None and code.latitude is not None:
        yield "longitude", "Give latitude and longitude together."
    if code.requires_location and code.latitude is None and code.longitude is None:
        yield "requires_location", "Give latitude and longitude, or set this to false."
    if code.scan_type is None and code.target_url is None:
        yield "target_url", "Give a URL, or a scan_type."
    if code.starts_at is not None and code.expires_at is not None and code.starts_at >= code.expires_at:
        yield "expires_at", "Use a time after starts_at."
    if len(code.tags) > MAX_TAGS:
        yield "tags", f"Use at most {MAX_TAGS} tags."
    puzzle = code.encounter
    if puzzle is not None and puzzle.solution is not None and not is_solvable(puzzle.puzzle_type, puzzle.solution):
        yield (
            "encounter.solution",
            f"Nothing in this solution counts in a {puzzle.puzzle_type} puzzle.",
        )
    if code.destination_code == code.code:
        yield "destination_code", "Use another code than this one."
