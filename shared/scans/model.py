"""Values that judging takes and returns. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from shared.codes.rotation import Rotation
from shared.scans.fair_play import FairPlay, NearbyActivity

ONLINE_DELAY = timedelta(minutes=1)
"""A scan that arrives within this time was submitted live."""

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
    "late",
    "not_judged",
]
REASONS: tuple[str, ...] = get_args(Reason)
"""All reasons, in the order of the checks."""

MESSAGES: Mapping[str, str] = {
    "too_late": "This scan was submitted too late.",
    "unknown_code": "This code does not exist.",
    "forged_code": "This code is not genuine.",
    "stale_code": "This code is out of date. Scan the one on the screen now.",
    "inactive": "This code is not active.",
    "not_started": "This code is not open yet.",
    "expired": "This code has expired.",
    "location_required": "Player must share a location.",
    "better_location_needed": "The location is not accurate enough. Try again with a better one.",
    "not_present": "Player must be physically present.",
    "player_limit": "Player has used this code as often as allowed.",
    "cooldown": "Player must wait before using this code again.",
    "sold_out": "This code has no uses left.",
    "impossible_travel": "This scan is under review.",
    "identical_coordinates": "This scan is under review.",
    "burst": "This scan is under review.",
    "late": "This scan is under review.",
    "not_judged": "This scan could not be judged.",
}


@dataclass(frozen=True)
class Coordinates:
    """WGS 84 degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True)
class JudgingLimits:
    """Limits of the installation, from its settings."""

    max_age: timedelta
    max_accuracy_m: float
    max_speed_mps: float


@dataclass(frozen=True)
class CodeRules:
    """The conditions under which a code can be used, and its reward, encounter or destination.

    `offline` is how late its scans may arrive; None: as the installation allows. No scan from before `usable_since` can
    succeed. `rotation` is None for a code that does not rotate.
    """

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
    offline: timedelta | None = None
    usable_since: datetime | None = None
    rotation: Rotation | None = None
    reward_item: str | None = None
    reward_quantity: int | None = None
    encounter: Mapping[str, Any] | None = None
    solution: str | None = None
    max_attempts: int | None = None
    answer_within_hours: float = 24.0
    destination: Mapping[str, Any] | None = None


UNKNOWN_CODE = CodeRules(UUID(int=0), "", UUID(int=0), deleted=True)
"""The rules for a code that does not exist."""


@dataclass(frozen=True)
class Scan:
    """A pending scan as it was accepted. `api_key_id` is its submitter, or None if the player submitted it.

    `step_mac` is the `{step}.{mac}` of a rotating code. `traceparent` is the trace of its request, if that is sampled.
    """

    id: UUID
    player_id: UUID
    qr_code: str
    qr_code_id: UUID | None
    scan_time: datetime
    received_at: datetime
    coordinates: Coordinates | None = None
    accuracy_m: float | None = None
    request_id: str | None = None
    api_key_id: UUID | None = None
    step_mac: str | None = None
    traceparent: str | None = None

    @property
    def delay(self) -> timedelta:
        """Return how long after its own time it arrived."""
        return self.received_at - self.scan_time

    @property
    def is_late(self) -> bool:
        """True if it was not submitted live."""
        return self.delay > ONLINE_DELAY


@dataclass(frozen=True)
class Usage:
    """Counted scans of one code by one player.

    `count` stops at the code's limit. `times` holds scan time and time of receipt of those that a cooldown can reach.
    """

    count: int = 0
    times: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(frozen=True)
class LocationFix:
    """The coordinates and the time of a player at one counted scan.

    `org_id` is the organization of its code, `api_key_id` its submitter (None: the player).
    """

    at: datetime
    coordinates: Coordinates
    accuracy_m: float | None = None
    received_at: datetime | None = None
    org_id: UUID | None = None
    api_key_id: UUID | None = None

    def is_accurate(self, limits: JudgingLimits) -> bool:
        """True if it proves where the player was. An inaccurate fix never replaces an accurate one."""
        return (self.accuracy_m or 0.0) <= limits.max_accuracy_m


@dataclass(frozen=True)
class Verdict:
    """The decision on one scan.

    `decision_inputs` holds what each check up to the deciding one looked at, for staff only; None for most successes.
    `compare_coordinates` is true if later scans of other players are compared with this one's coordinates. `puzzle`
    holds the terms of the puzzle that the scan opens. Only its solution grades answers, so players never see it.
    """

    status: ScanStatus
    reason: Reason | None = None
    distance_m: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    decision_inputs: Mapping[Reason, Mapping[str, Any]] | None = None
    compare_coordinates: bool = False
    puzzle: Mapping[str, Any] | None = None

    @property
    def counts_as_use(self) -> bool:
        """True if the scan counts against the limits of its player. A held scan does until staff annul it."""
        return self.status in ("success", "held")

    @property
    def uses_stock(self) -> bool:
        """True if the scan uses one of the code's stock. A held scan does when staff release it."""
        return self.status == "success"


@dataclass(frozen=True)
class JudgingContext:
    """Everything that judging a batch looks at, besides the scans.

    `codes` by id. `usages` by player and code. `location_fixes` by player, in order of time. `fair_play` by
    organization, for those that have rules. `nearby_activity` by scan, for the scans of those organizations.
    `has_quests` is true if successes may advance quests.
    """

    codes: Mapping[UUID, CodeRules]
    usages: Mapping[tuple[UUID, UUID], Usage]
    location_fixes: Mapping[UUID, Sequence[LocationFix]]
    fair_play: Mapping[UUID, FairPlay] = field(default_factory=dict)
    nearby_activity: Mapping[UUID, NearbyActivity] = field(default_factory=dict)
    has_quests: bool = False
