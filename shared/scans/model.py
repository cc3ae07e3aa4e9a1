"""What judging a scan looks at and comes to: words and values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from shared.scans.fair_play import FairPlay, NearbyActivity

ScanType = Literal["item_drop", "encounter", "transportation"]
ScanStatus = Literal["pending", "success", "failure", "held", "annulled"]
Reason = Literal[
    "too_late",
    "unknown_code",
    "forged_code",
    "stale_code",
    "inactive",
    "not_started",
    "expired",
    "location_required",
    "better_location_needed",
    "not_present",
    "player_limit",
    "cooldown",
    "sold_out",
    "impossible_travel",
    "identical_coordinates",
    "burst",
    "not_judged",
]
REASONS: tuple[str, ...] = get_args(Reason)
"""The closed list, in the order in which the reasons are judged."""

MESSAGES: Mapping[str, str] = {
    "too_late": "This scan was handed in too late.",
    "unknown_code": "There is no such code.",
    "forged_code": "This code is not genuine.",
    "stale_code": "This code is out of date; scan the one on the screen now.",
    "inactive": "This code is not active.",
    "not_started": "This code is not open yet.",
    "expired": "This code has expired.",
    "location_required": "Player must share a position.",
    "better_location_needed": "The position is not accurate enough to tell.",
    "not_present": "Player must be physically present.",
    "player_limit": "Player has used this code as often as allowed.",
    "cooldown": "Player must wait before using this code again.",
    "sold_out": "Nothing is left of this code.",
    "impossible_travel": "This scan is being reviewed.",
    "identical_coordinates": "This scan is being reviewed.",
    "burst": "This scan is being reviewed.",
    "not_judged": "This scan could not be judged.",
}


@dataclass(frozen=True)
class Coordinates:
    """A position: WGS 84 degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True)
class JudgingLimits:
    """What the installation sets: seconds, metres, metres per second."""

    max_age: timedelta
    max_accuracy_m: float
    max_speed_mps: float


@dataclass(frozen=True)
class CodeRules:
    """A code's rules of use, and what it gives."""

    id: UUID
    code: str
    org_id: UUID
    scan_type: ScanType | None = None
    requires_location: bool = False
    coordinates: Coordinates | None = None
    radius_m: float = 50.0
    active: bool = True
    deleted: bool = False
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    max_scans: int | None = None
    use_count: int = 0
    per_player_limit: int | None = 1
    cooldown: timedelta | None = None
    reward_item: str | None = None
    reward_quantity: int | None = None
    encounter: Mapping[str, Any] | None = None
    destination: Mapping[str, Any] | None = None


UNKNOWN_CODE = CodeRules(UUID(int=0), "", UUID(int=0), deleted=True)
"""Stands for a code that there is not."""


@dataclass(frozen=True)
class Scan:
    """A pending scan as it was accepted."""

    id: UUID
    player_id: UUID
    qr_code: str
    qr_code_id: UUID | None
    scan_time: datetime
    received_at: datetime
    coordinates: Coordinates | None = None
    accuracy_m: float | None = None
    request_id: str | None = None
    api_key_id: UUID | None = None  # of the key that handed it in


@dataclass(frozen=True)
class Usage:
    """One player's scans of one code that count: how many, and when."""

    count: int = 0
    times: tuple[tuple[datetime, datetime], ...] = ()
    """When they happened and when they were received: of those near enough to matter for a cooldown."""


@dataclass(frozen=True)
class LocationFix:
    """Where and when a scan of a player counted, when it was received, and whose code it was of."""

    at: datetime
    coordinates: Coordinates
    accuracy_m: float | None = None
    received_at: datetime | None = None
    org_id: UUID | None = None
    api_key_id: UUID | None = None  # of the key that said so

    def is_accurate(self, limits: JudgingLimits) -> bool:
        """Whether it says where the player was. A worse one is measured from too, but takes no better one's place."""
        return (self.accuracy_m or 0.0) <= limits.max_accuracy_m


@dataclass(frozen=True)
class Verdict:
    """What was decided on a scan and why."""

    status: ScanStatus
    reason: Reason | None = None
    distance_m: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[Reason, Mapping[str, Any]] | None = None
    """Of what is no success: each rule that was tried, and what it was judged by. For staff only."""
    watched: bool = False
    """Whether its coordinates are compared with those of other players."""

    @property
    def counts_as_use(self) -> bool:
        """Whether it uses up the code: a held scan keeps its share until staff decide."""
        return self.status in ("success", "held")


@dataclass(frozen=True)
class JudgingContext:
    """Everything that judging needs to know, read under lock."""

    codes: Mapping[UUID, CodeRules]
    usages: Mapping[tuple[UUID, UUID], Usage]  # by player, code
    location_fixes: Mapping[
        UUID, Sequence[LocationFix]
    ]  # by player, in the order of time: the last, and those around old scans; of all and of the sure ones
    fair_play: Mapping[UUID, FairPlay] = field(default_factory=dict)  # by organization, of those that ask for it
    nearby_activity: Mapping[UUID, NearbyActivity] = field(default_factory=dict)  # by scan, of those organizations
