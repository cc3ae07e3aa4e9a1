"""The checks of judging, in order: when each applies, which status it gives, and what it looks at. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from shared.infra.timestamps import format_rfc3339
from shared.scans.fair_play import FairPlay, NearbyActivity
from shared.scans.model import ONLINE_DELAY, CodeRules, JudgingLimits, LocationFix, Reason, Scan, Usage
from shared.scans.travel import TravelLeg, distance_between, is_within_jitter, leg_from

Inputs = Mapping[str, Any]


@dataclass(slots=True)
class JudgingInput:
    """One scan and all that its verdict depends on. `distance_m` is from player to code, after `measure_distance`."""

    scan: Scan
    code: CodeRules
    usage: Usage
    location_fixes: Sequence[LocationFix]
    limits: JudgingLimits
    fair_play: FairPlay
    nearby_activity: NearbyActivity
    distance_m: float | None = None

    def measure_distance(self) -> None:
        """Set `distance_m` if both coordinates are known. The checks of the code itself run without it."""
        if self.scan.coordinates and self.code.coordinates:
            self.distance_m = distance_between(self.scan.coordinates, self.code.coordinates)

    def legs(self) -> Iterator[TravelLeg]:
        """Yield the leg between each location fix and the scan. Yield none if the scan has no coordinates."""
        here, limit = self.scan.coordinates, self.limits.max_accuracy_m
        return (leg_from(fix, self.scan, here, limit) for fix in self.location_fixes if here is not None)

    @property
    def allowed_accuracy_m(self) -> float:
        return max(self.code.radius_m, self.limits.max_accuracy_m)

    @property
    def compares_coordinates(self) -> bool:
        """True if the scan's coordinates are compared with those of other players."""
        rule = self.fair_play.identical_coordinates
        return (
            rule is not None and self.scan.coordinates is not None and (self.scan.api_key_id is None or rule.api_keys)
        )


class Check(NamedTuple):
    """A rule of judging. `inputs` returns what it looked at, for staff: meters, seconds and counts."""

    reason: Reason
    applies: Callable[[JudgingInput], bool]
    inputs: Callable[[JudgingInput], Inputs]
    status: Literal["failure", "held"] = "failure"


def _max_delay(case: JudgingInput) -> timedelta:
    """Return how late the scan may arrive. A live one may take a moment."""
    offline = case.code.offline
    return case.limits.max_age if offline is None else max(offline, ONLINE_DELAY)


def _too_late(case: JudgingInput) -> bool:
    return case.scan.delay > _max_delay(case)


def _unknown(case: JudgingInput) -> bool:
    return case.code.deleted or case.code.scan_type is None


def _is_forged(case: JudgingInput) -> bool:
    rotation = case.code.rotation
    return rotation is not None and rotation.verify(case.scan.step_mac) is None


def _is_stale(case: JudgingInput) -> bool:
    """True if the step was not on the screen at the time of the scan, or one step before or after.

    A live scan may show a step as late as its receipt: the clock of its phone may be slow.
    """
    rotation, scan = case.code.rotation, case.scan
    if rotation is None:
        return False
    step = rotation.verify(scan.step_mac)
    until = scan.scan_time if scan.is_late else scan.received_at
    return step is not None and not rotation.is_current(step, scan.scan_time, until)


def _forgery_inputs(case: JudgingInput) -> Inputs:
    rotation, step_mac = case.code.rotation, case.scan.step_mac
    if rotation is None:
        return {"rotating": False}
    return {"rotating": True, "mac_given": step_mac is not None, "genuine": rotation.verify(step_mac) is not None}


def _staleness_inputs(case: JudgingInput) -> Inputs:
    rotation = case.code.rotation
    step = rotation.verify(case.scan.step_mac) if rotation else None
    if rotation is None or step is None:
        return {}
    return {"steps_old": rotation.step_at(case.scan.scan_time) - step, "rotation_seconds": rotation.seconds}


def _inactive(case: JudgingInput) -> bool:
    return not case.code.active


def _not_started(case: JudgingInput) -> bool:
    return (case.code.starts_at is not None and case.scan.scan_time < case.code.starts_at) or _precedes_use(case)


def _precedes_use(case: JudgingInput) -> bool:
    """True if the code did not exist, or could not be used, at the time of the scan.

    Of a live scan the time of receipt counts: the clock of its phone may be slow.
    """
    at = case.scan.scan_time if case.scan.is_late else case.scan.received_at
    return case.code.usable_since is not None and at < case.code.usable_since


def _expired(case: JudgingInput) -> bool:
    return case.code.expires_at is not None and case.scan.scan_time >= case.code.expires_at


def _lacks_location(case: JudgingInput) -> bool:
    return case.code.requires_location and case.distance_m is None


def _inaccurate(case: JudgingInput) -> bool:
    # The response must not depend on how far away the player is. A player indoors, outside the radius by an accuracy
    # larger than it, gets another try.
    accuracy = case.scan.accuracy_m
    if not case.code.requires_location or accuracy is None:
        return False
    return accuracy > case.allowed_accuracy_m or (accuracy > case.code.radius_m and _is_too_far(case))


def _is_too_far(case: JudgingInput) -> bool:
    return case.code.requires_location and (case.distance_m or 0.0) > case.code.radius_m


def _reached_player_limit(case: JudgingInput) -> bool:
    return case.code.per_player_limit is not None and case.usage.count >= case.code.per_player_limit


def _time_since_last_use(case: JudgingInput) -> timedelta | None:
    """Return the shortest time between the scan and another use, by either clock. None if there is no other use.

    The server's clock counts too, so a client cannot shorten a cooldown by dating its scans back.
    """
    scan = case.scan
    return min(
        (
            min(abs(scan.scan_time - scan_time), abs(scan.received_at - received_at))
            for scan_time, received_at in case.usage.times
        ),
        default=None,
    )


def _is_cooling_down(case: JudgingInput) -> bool:
    if case.code.cooldown is None:
        return False
    elapsed = _time_since_last_use(case)
    return elapsed is not None and elapsed < case.code.cooldown


def _sold_out(case: JudgingInput) -> bool:
    return case.code.max_scans is not None and case.code.use_count >= case.code.max_scans


def _is_impossible_travel(case: JudgingInput) -> bool:
    """True if no vehicle covers a leg in its time. Both accuracies count in the player's favor."""
    here = case.scan.coordinates
    if here is None or all(is_within_jitter(here, fix.coordinates) for fix in case.location_fixes):
        return False
    return any(leg.is_faster_than(case.limits.max_speed_mps) for leg in case.legs())


def _shares_coordinates(case: JudgingInput) -> bool:
    rule = case.fair_play.identical_coordinates
    return (
        rule is not None
        and case.compares_coordinates
        and len(case.nearby_activity.colocated_players) + 1 >= rule.players
    )


def _is_burst(case: JudgingInput) -> bool:
    rule = case.fair_play.burst
    return rule is not None and (
        (rule.per_player is not None and case.nearby_activity.player_scans >= rule.per_player)
        or (rule.per_code is not None and case.nearby_activity.code_scans >= rule.per_code)
    )


def _is_held_as_late(case: JudgingInput) -> bool:
    rule = case.fair_play.late
    return rule is not None and case.scan.delay > rule.after


def _late_inputs(case: JudgingInput) -> Inputs:
    rule = case.fair_play.late
    if rule is None:
        return {}
    return {"delay_seconds": case.scan.delay.total_seconds(), "after_seconds": rule.after.total_seconds()}


def _travel_inputs(case: JudgingInput) -> Inputs:
    """Return the least plausible leg between codes of the same organization.

    An organization never learns where a player was for another one. If only such a leg decides, it learns just that.
    """
    max_mps = case.limits.max_speed_mps
    inputs: dict[str, Any] = {"max_speed_mps": max_mps}
    own_legs = [leg for leg in case.legs() if leg.org_id == case.code.org_id]
    worst = max(
        own_legs,
        key=lambda leg: (leg.is_faster_than(max_mps), leg.min_distance_m - max_mps * leg.seconds),
        default=None,
    )
    if _is_impossible_travel(case) and not (worst and worst.is_faster_than(max_mps)):
        inputs |= {"at_other_organization": True}
    elif worst is not None:
        inputs |= {"metres": _rounded(max(0.0, worst.min_distance_m)), "seconds": worst.seconds}
        inputs |= {"accuracy_m": _rounded(worst.accuracy_m)}
    return inputs


def _coordinates_inputs(case: JudgingInput) -> Inputs:
    rule = case.fair_play.identical_coordinates
    if rule is None:
        return {}
    return {
        "players": len(case.nearby_activity.colocated_players) + 1,
        "held_from": rule.players,
        "window_seconds": rule.window.total_seconds(),
    }


def _burst_inputs(case: JudgingInput) -> Inputs:
    rule = case.fair_play.burst
    if rule is None:
        return {}
    inputs: dict[str, Any] = {"window_seconds": rule.window.total_seconds()}
    if rule.per_player is not None:
        inputs |= {"player_scans": case.nearby_activity.player_scans, "per_player": rule.per_player}
    if rule.per_code is not None:
        inputs |= {"code_scans": case.nearby_activity.code_scans, "per_code": rule.per_code}
    return inputs


def _delay_inputs(case: JudgingInput) -> Inputs:
    return {
        "delay_seconds": case.scan.delay.total_seconds(),
        "max_age_seconds": _max_delay(case).total_seconds(),
    }


def _presence_inputs(case: JudgingInput) -> Inputs:
    return {
        "requires_location": case.code.requires_location,
        "position_given": case.scan.coordinates is not None,
    }


def _accuracy_inputs(case: JudgingInput) -> Inputs:
    return {"accuracy_m": case.scan.accuracy_m, "allowed_m": case.allowed_accuracy_m}


def _distance_inputs(case: JudgingInput) -> Inputs:
    return {"distance_m": _rounded(case.distance_m), "radius_m": case.code.radius_m}


def _cooldown_inputs(case: JudgingInput) -> Inputs:
    return {"seconds": _seconds(_time_since_last_use(case)), "cooldown_seconds": _seconds(case.code.cooldown)}


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _time(value: datetime | None) -> str | None:
    return None if value is None else format_rfc3339(value)


CODE_CHECKS = (
    Check("too_late", _too_late, _delay_inputs),
    Check("unknown_code", _unknown, lambda case: {"removed": case.code.deleted, "scan_type": case.code.scan_type}),
    Check("forged_code", _is_forged, _forgery_inputs),
    Check("stale_code", _is_stale, _staleness_inputs),
    Check("inactive", _inactive, lambda case: {"active": case.code.active}),
    Check(
        "not_started",
        _not_started,
        lambda case: {"starts_at": _time(case.code.starts_at), "usable_since": _time(case.code.usable_since)},
    ),
    Check("expired", _expired, lambda case: {"expires_at": _time(case.code.expires_at)}),
)
"""Checks that need no distance."""
PRESENCE_CHECKS = (
    Check("location_required", _lacks_location, _presence_inputs),
    Check("better_location_needed", _inaccurate, _accuracy_inputs),
    Check("not_present", _is_too_far, _distance_inputs),
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
    Check("late", _is_held_as_late, _late_inputs, "held"),
)
"""Checks that hold a scan which would otherwise be a success."""
CHECKS: tuple[Check, ...] = CODE_CHECKS + PRESENCE_CHECKS + USAGE_CHECKS + FAIR_PLAY_CHECKS
