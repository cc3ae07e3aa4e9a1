"""Every rule that a scan is judged by, in order: when it holds, what is given then, and what it looks at. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from shared.infra.timestamps import format_rfc3339
from shared.scans.fair_play import FairPlay, NearbyActivity
from shared.scans.geodesic import distance_m
from shared.scans.model import CodeRules, Coordinates, JudgingLimits, LocationFix, Reason, Scan, Usage

GPS_JITTER_M = 1_000
"""A phone's fix jumps by tens of metres from one moment to the next; nothing is learned from so little."""
MAX_METERS_PER_DEGREE = 111_700
"""No degree of the ellipsoid is longer: of latitude at a pole, of longitude at the equator."""
ZERO = timedelta()
ONLINE_DELAY = timedelta(minutes=1)
"""A scan received so soon after it happened was handed in by a phone that had a connection."""

Inputs = Mapping[str, Any]


class TravelLeg(NamedTuple):
    """From another scan of the player to this one: metres less both accuracies, seconds; and whose code that was of."""

    metres: float
    seconds: float
    unsure_m: float
    org_id: UUID | None

    def is_faster_than(self, max_mps: float) -> bool:
        """Whether it takes more than that speed, and is more than a fix that jumps."""
        return self.metres > GPS_JITTER_M and self.metres > max_mps * self.seconds


@dataclass(slots=True)
class JudgingInput:
    """One scan, and all that its verdict depends on."""

    scan: Scan
    code: CodeRules
    usage: Usage
    sightings: Sequence[LocationFix]
    limits: JudgingLimits
    fair_play: FairPlay
    crowd: NearbyActivity
    distance_m: float | None = None  # from the player to the code, once `measure` was called

    def measure_distance(self) -> None:
        """Find out the distance: what `ENTRY` refuses is not worth it."""
        if self.scan.coordinates and self.code.coordinates:
            self.distance_m = distance_between(self.scan.coordinates, self.code.coordinates)

    def legs(self) -> Iterator[TravelLeg]:
        """The journeys that this scan claims."""
        place, most = self.scan.coordinates, self.limits.max_accuracy_m
        return (_leg(self.scan, place, sighting, most) for sighting in self.sightings if place is not None)

    @property
    def allowed_accuracy_m(self) -> float:
        return max(self.code.radius_m, self.limits.max_accuracy_m)

    @property
    def compares_coordinates(self) -> bool:
        """Whether others are compared with where this scan was made."""
        return self.fair_play.identical_coordinates is not None and self.scan.coordinates is not None


class Check(NamedTuple):
    """A rule. `inputs` is for staff: what it looked at, in metres, seconds and counts."""

    reason: Reason
    holds: Callable[[JudgingInput], bool]
    inputs: Callable[[JudgingInput], Inputs]
    status: Literal["failure", "held"] = "failure"


def distance_between(a: Coordinates, b: Coordinates) -> float:
    """The geodesic distance between two places."""
    return distance_m(a.latitude, a.longitude, b.latitude, b.longitude)


def _leg(scan: Scan, place: Coordinates, other: LocationFix, max_accuracy_m: float) -> TravelLeg:
    """By the clock that is believed; and by the server's too where the client's word alone stands against it: a scan
    said to be older than one that this player's phone has handed in live since could have been handed in then.

    An accuracy is the client's word too, and counts as far as the limit: who claims half the earth went no shorter way.
    """
    unsure = min(scan.accuracy_m or 0.0, max_accuracy_m) + min(other.accuracy_m or 0.0, max_accuracy_m)
    apart = scan.scan_time - other.at
    if apart < ZERO:
        apart = -apart
        if other.received_at is not None and other.received_at - other.at <= ONLINE_DELAY:
            apart = min(apart, abs(scan.received_at - other.received_at))
    return TravelLeg(distance_between(other.coordinates, place) - unsure, apart.total_seconds(), unsure, other.org_id)


def _too_late(case: JudgingInput) -> bool:
    return case.scan.received_at - case.scan.scan_time > case.limits.max_age


def _unknown(case: JudgingInput) -> bool:
    return case.code.deleted or case.code.scan_type is None


def _inactive(case: JudgingInput) -> bool:
    return not case.code.active


def _not_started(case: JudgingInput) -> bool:
    return case.code.starts_at is not None and case.scan.scan_time < case.code.starts_at


def _expired(case: JudgingInput) -> bool:
    return case.code.expires_at is not None and case.scan.scan_time >= case.code.expires_at


def _lacks_location(case: JudgingInput) -> bool:
    return case.code.requires_location and case.distance_m is None


def _inaccurate(case: JudgingInput) -> bool:
    """How far away is never told, so 60 m and 6 km read the same."""
    accuracy = case.scan.accuracy_m
    return case.code.requires_location and accuracy is not None and accuracy > case.allowed_accuracy_m


def _is_too_far(case: JudgingInput) -> bool:
    return case.code.requires_location and (case.distance_m or 0.0) > case.code.radius_m


def _reached_player_limit(case: JudgingInput) -> bool:
    return case.code.per_player_limit is not None and case.usage.count >= case.code.per_player_limit


def _time_since_last_use(case: JudgingInput) -> timedelta | None:
    """The shortest time to another use, by both clocks: a client that dates its scans back, each an hour more, gains
    nothing by it."""
    scan = case.scan
    return min(
        (
            min(abs(scan.scan_time - happened), abs(scan.received_at - received))
            for happened, received in case.usage.times
        ),
        default=None,
    )


def _is_cooling_down(case: JudgingInput) -> bool:
    if case.code.cooldown is None:
        return False
    rest = _time_since_last_use(case)
    return rest is not None and rest < case.code.cooldown


def _sold_out(case: JudgingInput) -> bool:
    return case.code.max_scans is not None and case.code.use_count >= case.code.max_scans


def _is_impossible_travel(case: JudgingInput) -> bool:
    """Whether no vehicle brings a player from one scan to the other in time. Both accuracies count in their favour."""
    place = case.scan.coordinates
    if place is None or all(is_within_jitter(place, sighting.coordinates) for sighting in case.sightings):
        return False
    return any(leg.is_faster_than(case.limits.max_speed_mps) for leg in case.legs())


def is_within_jitter(a: Coordinates, b: Coordinates) -> bool:
    """Whether two places are closer than a fix jumps, for sure: going north first and then east is no shorter."""
    return MAX_METERS_PER_DEGREE * (abs(a.latitude - b.latitude) + abs(a.longitude - b.longitude)) <= GPS_JITTER_M


def _shares_coordinates(case: JudgingInput) -> bool:
    rule = case.fair_play.identical_coordinates
    return (
        rule is not None and case.scan.coordinates is not None and len(case.crowd.colocated_players) + 1 >= rule.players
    )


def _is_burst(case: JudgingInput) -> bool:
    rule = case.fair_play.burst
    return rule is not None and (
        (rule.per_player is not None and case.crowd.player_scans >= rule.per_player)
        or (rule.per_code is not None and case.crowd.code_scans >= rule.per_code)
    )


def _travel_inputs(case: JudgingInput) -> Inputs:
    """The leg that is the hardest to believe, of those between codes of the organization: of where a player was for
    another one it learns only that they were elsewhere, where nothing else decided."""
    max_mps = case.limits.max_speed_mps
    told: dict[str, Any] = {"max_speed_mps": max_mps}
    ours = [leg for leg in case.legs() if leg.org_id == case.code.org_id]
    worst = max(ours, key=lambda leg: (leg.is_faster_than(max_mps), leg.metres - max_mps * leg.seconds), default=None)
    if _is_impossible_travel(case) and not (worst and worst.is_faster_than(max_mps)):
        told |= {"at_other_organization": True}
    elif worst is not None:
        told |= {"metres": _rounded(max(0.0, worst.metres)), "seconds": worst.seconds}
        told |= {"accuracy_m": _rounded(worst.unsure_m)}
    return told


def _coordinates_inputs(case: JudgingInput) -> Inputs:
    rule = case.fair_play.identical_coordinates
    if rule is None:
        return {}
    told = {"players": len(case.crowd.colocated_players) + 1, "held_from": rule.players}
    return told | {"window_seconds": rule.window.total_seconds()}


def _burst_inputs(case: JudgingInput) -> Inputs:
    rule = case.fair_play.burst
    if rule is None:
        return {}
    told: dict[str, Any] = {"window_seconds": rule.window.total_seconds()}
    if rule.per_player is not None:
        told |= {"player_scans": case.crowd.player_scans, "per_player": rule.per_player}
    if rule.per_code is not None:
        told |= {"code_scans": case.crowd.code_scans, "per_code": rule.per_code}
    return told


def _delay_inputs(case: JudgingInput) -> Inputs:
    late = case.scan.received_at - case.scan.scan_time
    return {"delay_seconds": late.total_seconds(), "max_age_seconds": case.limits.max_age.total_seconds()}


def _presence_inputs(case: JudgingInput) -> Inputs:
    told = {"requires_location": case.code.requires_location}
    return told | {"position_given": case.scan.coordinates is not None}


def _accuracy(case: JudgingInput) -> Inputs:
    return {"accuracy_m": case.scan.accuracy_m, "allowed_m": case.allowed_accuracy_m}


def _distance(case: JudgingInput) -> Inputs:
    return {"distance_m": _rounded(case.distance_m), "radius_m": case.code.radius_m}


def _cooldown_inputs(case: JudgingInput) -> Inputs:
    rest, cooldown = _time_since_last_use(case), case.code.cooldown
    return {"seconds": _seconds(rest), "cooldown_seconds": _seconds(cooldown)}


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _time(value: datetime | None) -> str | None:
    return None if value is None else format_rfc3339(value)


CODE_CHECKS = (
    Check("too_late", _too_late, _delay_inputs),
    Check("unknown_code", _unknown, lambda case: {"removed": case.code.deleted, "scan_type": case.code.scan_type}),
    Check("inactive", _inactive, lambda case: {"active": case.code.active}),
    Check("not_started", _not_started, lambda case: {"starts_at": _time(case.code.starts_at)}),
    Check("expired", _expired, lambda case: {"expires_at": _time(case.code.expires_at)}),
)
"""What needs no look at the map."""
PRESENCE_CHECKS = (
    Check("location_required", _lacks_location, _presence_inputs),
    Check("better_location_needed", _inaccurate, _accuracy),
    Check("not_present", _is_too_far, _distance),
)
USAGE_CHECKS = (
    Check(
        "player_limit",
        _reached_player_limit,
        lambda case: {"used": case.usage.count, "limit": case.code.per_player_limit},
    ),
    Check("cooldown", _is_cooling_down, _cooldown_inputs),
    Check("sold_out", _sold_out, lambda case: {"use_count": case.code.use_count, "max_scans": case.code.max_scans}),
)
FAIR_PLAY_CHECKS = (
    Check("impossible_travel", _is_impossible_travel, _travel_inputs, "held"),
    Check("identical_coordinates", _shares_coordinates, _coordinates_inputs, "held"),
    Check("burst", _is_burst, _burst_inputs, "held"),
)
"""What would be a success, but for these."""
CHECKS: tuple[Check, ...] = CODE_CHECKS + PRESENCE_CHECKS + USAGE_CHECKS + FAIR_PLAY_CHECKS
