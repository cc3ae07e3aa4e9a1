"""How a scan is judged. Pure: values in, a verdict out; no clock, no store, no environment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from urllib.parse import urlsplit
from uuid import UUID

from shared.scans.geodesic import distance_m

ScanType = Literal["item_drop", "encounter", "transportation"]
Status = Literal["pending", "success", "failure", "held", "annulled"]
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
    "not_judged": "This scan could not be judged.",
}


@dataclass(frozen=True)
class Place:
    """A position: WGS 84 degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True)
class Limits:
    """What the installation sets: seconds, metres, metres per second."""

    grace: timedelta
    max_accuracy_m: float
    max_speed_mps: float


@dataclass(frozen=True)
class Code:
    """A code's rules of use, and what it gives."""

    id: UUID
    code: str
    org_id: UUID
    scan_type: ScanType | None = None
    requires_location: bool = False
    place: Place | None = None
    radius_m: float = 50.0
    active: bool = True
    deleted: bool = False
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    max_scans: int | None = None
    taken: int = 0
    per_player_limit: int | None = 1
    cooldown: timedelta | None = None
    reward_item: str | None = None
    reward_quantity: int | None = None
    encounter: Mapping[str, Any] | None = None
    destination: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Scan:
    """A pending scan as it was accepted."""

    id: UUID
    player_id: UUID
    qr_code: str
    qr_code_id: UUID | None
    scan_time: datetime
    received_at: datetime
    place: Place | None = None
    accuracy_m: float | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class Usage:
    """One player's scans of one code that count: how many, and when."""

    count: int = 0
    times: tuple[tuple[datetime, datetime], ...] = ()
    """When they happened and when they were received: of those near enough to matter for a cooldown."""


@dataclass(frozen=True)
class Sighting:
    """Where and when a player's scan last counted."""

    at: datetime
    place: Place
    accuracy_m: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What was decided on a scan and why."""

    status: Status
    reason: Reason | None = None
    distance_m: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it uses up the code: a held scan keeps its share until staff decide."""
        return self.status in ("success", "held")


@dataclass(frozen=True)
class Context:
    """Everything that judging needs to know, read under lock."""

    codes: Mapping[UUID, Code]
    usages: Mapping[tuple[UUID, UUID], Usage]  # by player, code
    sightings: Mapping[UUID, Sighting]  # by player: where each was last seen


def code_of(scanned: str) -> str:
    """The code inside what was scanned: the end of an http(s) URL ending in /s/{code}, else the text itself."""
    if scanned[:4].lower() != "http" or not scanned.isprintable():  # urlsplit would drop line breaks
        return scanned
    try:
        parts = urlsplit(scanned)
    except ValueError:  # such as a broken IPv6 host: then it is just an unknown code
        return scanned
    *_, before, last = ("", *parts.path.rstrip("/").split("/"))
    if parts.scheme in ("http", "https") and parts.netloc and before == "s" and last:
        return last
    return scanned


def metres(a: Place, b: Place) -> float:
    """The geodesic distance between two places."""
    return distance_m(a.latitude, a.longitude, b.latitude, b.longitude)


def judge(
    scan: Scan,
    code: Code | None,
    usage: Usage,
    sighting: Sighting | None,
    limits: Limits,
) -> Verdict:
    """The verdict on one scan. The reasons are tried in the order of the closed list; the first that holds is given."""
    if scan.received_at - scan.scan_time > limits.grace:
        return Verdict("failure", "too_late")
    if code is None or code.deleted or code.scan_type is None:
        return Verdict("failure", "unknown_code")
    if not code.active:
        return Verdict("failure", "inactive")
    if code.starts_at is not None and scan.scan_time < code.starts_at:
        return Verdict("failure", "not_started")
    if code.expires_at is not None and scan.scan_time >= code.expires_at:
        return Verdict("failure", "expired")

    distance = metres(scan.place, code.place) if scan.place and code.place else None
    if code.requires_location:
        reason = _absence(scan, code, distance, limits)
        if reason is not None:
            return Verdict("failure", reason, distance)

    if code.per_player_limit is not None and usage.count >= code.per_player_limit:
        return Verdict("failure", "player_limit", distance)
    if code.cooldown is not None and _too_soon(scan, usage, code.cooldown):
        return Verdict("failure", "cooldown", distance)
    if code.max_scans is not None and code.taken >= code.max_scans:
        return Verdict("failure", "sold_out", distance)

    if sighting is not None and _too_fast(scan, sighting, limits):
        return Verdict("held", "impossible_travel", distance, _outcome(code))
    return Verdict("success", None, distance, _outcome(code))


def _too_soon(scan: Scan, usage: Usage, cooldown: timedelta) -> bool:
    """By both clocks: a client that dates its scans back, each an hour more, gains nothing by it."""
    return any(
        abs(scan.scan_time - happened) < cooldown or abs(scan.received_at - received) < cooldown
        for happened, received in usage.times
    )


def _absence(scan: Scan, code: Code, distance: float | None, limits: Limits) -> Reason | None:
    """Why presence is not proved, if it is not. How far away is never told, so 60 m and 6 km read the same."""
    if scan.place is None or distance is None:
        return "location_required"
    if scan.accuracy_m is not None and scan.accuracy_m > max(code.radius_m, limits.max_accuracy_m):
        return "better_location_needed"
    return "not_present" if distance > code.radius_m else None


def _too_fast(scan: Scan, before: Sighting, limits: Limits) -> bool:
    """Whether no vehicle brings a player from the last scan here in time. Both accuracies count in their favour."""
    if scan.place is None:
        return False
    unsure = (scan.accuracy_m or 0.0) + (before.accuracy_m or 0.0)
    travelled = metres(before.place, scan.place) - unsure
    # A phone's fix jumps by tens of metres from one moment to the next; nothing is learned from so little.
    return travelled > 1_000 and travelled > limits.max_speed_mps * abs((scan.scan_time - before.at).total_seconds())


def _outcome(code: Code) -> Mapping[str, Any]:
    """What a success gives. An encounter's reward is paid on solving, so it is not named here."""
    match code.scan_type:
        case "item_drop" if code.reward_item is not None:
            return {"reward": code.reward_item, "quantity": code.reward_quantity}
        case "encounter" if code.encounter is not None:
            return {"encounter": dict(code.encounter)}
        case "transportation" if code.destination is not None:
            return {"destination": dict(code.destination)}
    return {}


def judge_all(scans: Iterable[Scan], context: Context, limits: Limits) -> dict[UUID, Verdict]:
    """Verdicts on a batch, in order: each scan sees what the ones before it have used up."""
    codes, usages, sightings = dict(context.codes), dict(context.usages), dict(context.sightings)
    verdicts: dict[UUID, Verdict] = {}
    for scan in scans:
        code = codes.get(scan.qr_code_id) if scan.qr_code_id else None
        pair = (scan.player_id, code.id) if code else None
        usage = usages.get(pair, Usage()) if pair else Usage()
        verdict = judge(scan, code, usage, sightings.get(scan.player_id), limits)
        verdicts[scan.id] = verdict
        if verdict.counts and code and pair:
            if code.max_scans is not None:
                codes[code.id] = replace(code, taken=code.taken + 1)
            usages[pair] = Usage(usage.count + 1, (*usage.times, (scan.scan_time, scan.received_at)))
            seen = sightings.get(scan.player_id)
            if scan.place and (seen is None or scan.scan_time >= seen.at):
                sightings[scan.player_id] = Sighting(scan.scan_time, scan.place, scan.accuracy_m)
    return verdicts
