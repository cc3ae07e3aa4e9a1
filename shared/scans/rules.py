"""How a scan is judged. Pure: values in, a verdict out; no clock, no store, no environment."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from shared.scans.checks import CHECKS, CODE_CHECKS, Check, JudgingInput, distance_between
from shared.scans.fair_play import NO_ACTIVITY, NO_FAIR_PLAY, Activity, BatchActivity, FairPlay, NearbyActivity
from shared.scans.model import (
    MESSAGES,
    REASONS,
    UNKNOWN_CODE,
    CodeRules,
    Coordinates,
    JudgingContext,
    JudgingLimits,
    LocationFix,
    Reason,
    Scan,
    ScanStatus,
    ScanType,
    Usage,
    Verdict,
)

__all__ = [
    "MESSAGES",
    "REASONS",
    "CodeRules",
    "Coordinates",
    "JudgingContext",
    "JudgingLimits",
    "LocationFix",
    "Reason",
    "Scan",
    "ScanStatus",
    "ScanType",
    "Usage",
    "Verdict",
    "distance_between",
    "extract_code",
    "judge",
    "judge_all",
]


def extract_code(scanned: str) -> str:
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


BEFORE_DISTANCE = tuple((check.holds, check) for check in CODE_CHECKS)
AFTER_DISTANCE = tuple((check.holds, check) for check in CHECKS[len(CODE_CHECKS) :])


def judge(
    scan: Scan,
    code: CodeRules | None,
    usage: Usage,
    sightings: Sequence[LocationFix],
    limits: JudgingLimits,
    fair_play: FairPlay = NO_FAIR_PLAY,
    crowd: NearbyActivity = NO_ACTIVITY,
    explain: bool = False,
) -> Verdict:
    """The verdict on one scan. The rules are tried in the order of the closed list; the first that holds is given.

    `sightings` are the player's, near in time: the one before, the one after, the last of all, and the same of the sure
    ones. What a success was judged by is kept only where it is to be explained.
    """
    case = JudgingInput(scan, code or UNKNOWN_CODE, usage, sightings, limits, fair_play, crowd)
    for holds, check in BEFORE_DISTANCE:
        if holds(case):
            return Verdict("failure", check.reason, facts=_decision_inputs(case, check))
    case.measure_distance()
    for holds, check in AFTER_DISTANCE:
        if holds(case):
            outcome = _outcome(case.code) if check.status == "held" else {}
            watched = check.status == "held" and case.compares_coordinates
            return Verdict(check.status, check.reason, case.distance_m, outcome, _decision_inputs(case, check), watched)
    facts = _decision_inputs(case, CHECKS[-1]) if explain else None
    return Verdict("success", None, case.distance_m, _outcome(case.code), facts, case.compares_coordinates)


def _decision_inputs(case: JudgingInput, last: Check) -> dict[Reason, Mapping[str, Any]]:
    return {check.reason: check.inputs(case) for check in CHECKS[: CHECKS.index(last) + 1]}


def _outcome(code: CodeRules) -> Mapping[str, Any]:
    """What a success gives. An encounter's reward is paid on solving, so it is not named here."""
    match code.scan_type:
        case "item_drop" if code.reward_item is not None:
            return {"reward": code.reward_item, "quantity": code.reward_quantity}
        case "encounter" if code.encounter is not None:
            return {"encounter": dict(code.encounter)}
        case "transportation" if code.destination is not None:
            return {"destination": dict(code.destination)}
    return {}


def judge_all(
    scans: Iterable[Scan], context: JudgingContext, limits: JudgingLimits, *, explain: bool = False
) -> dict[UUID, Verdict]:
    """Verdicts on a batch, in order: each scan sees what the ones before it have used up.

    Where a player was is compared by hand: their own scans with each other, and those of one API key with each other.
    Whoever founds an organization has a key to any player's name. It must neither have their next scan held, nor learn
    where they were by trying.
    """
    codes, usages, fair_play = dict(context.codes), dict(context.usages), context.fair_play
    trails = _location_history(context)
    sure = {hand: [each for each in trail if each.is_accurate(limits)] for hand, trail in trails.items()}
    gathering = BatchActivity()
    verdicts: dict[UUID, Verdict] = {}
    for scan in scans:
        code = codes.get(scan.qr_code_id) if scan.qr_code_id else None
        pair = (scan.player_id, code.id) if code else None
        usage = usages.get(pair, Usage()) if pair else Usage()
        hand = (scan.player_id, scan.api_key_id)
        trail, sure_trail = trails.setdefault(hand, []), sure.setdefault(hand, [])
        asked = fair_play.get(code.org_id, NO_FAIR_PLAY) if fair_play and code else NO_FAIR_PLAY
        crowd = NO_ACTIVITY
        if asked is not NO_FAIR_PLAY and code:
            crowd = gathering.activity_around(
                _activity(scan, code), asked, context.nearby_activity.get(scan.id, NO_ACTIVITY)
            )
        near = _neighbors(trail, scan)
        if len(sure_trail) < len(trail):
            near = [*near, *_neighbors(sure_trail, scan)]
        verdict = judge(scan, code, usage, near, limits, asked, crowd, explain)
        verdicts[scan.id] = verdict
        if verdict.counts_as_use and code and pair:
            if code.max_scans is not None:
                codes[code.id] = replace(code, use_count=code.use_count + 1)
            usages[pair] = Usage(usage.count + 1, (*usage.times, (scan.scan_time, scan.received_at)))
            if scan.coordinates:
                sighting = LocationFix(
                    scan.scan_time, scan.coordinates, scan.accuracy_m, scan.received_at, code.org_id, scan.api_key_id
                )
                insort(trail, sighting, key=_at)
                if sighting.is_accurate(limits):
                    insort(sure_trail, sighting, key=_at)
            if asked is not NO_FAIR_PLAY:
                gathering.add(_activity(scan, code))
    return verdicts


def _location_history(context: JudgingContext) -> dict[tuple[UUID, UUID | None], list[LocationFix]]:
    """What is known of each player's whereabouts, by player and key, in the order of time."""
    trails: dict[tuple[UUID, UUID | None], list[LocationFix]] = defaultdict(list)
    for player, sightings in context.location_fixes.items():
        for sighting in sightings:
            trails[player, sighting.api_key_id].append(sighting)
    return trails


def _neighbors(trail: Sequence[LocationFix], scan: Scan) -> Sequence[LocationFix]:
    """The sightings next to a scan in time, before and after it, and the last of all."""
    if len(trail) < 2:
        return trail
    place = bisect_left(trail, scan.scan_time, key=_at)
    return [*trail[max(0, place - 1) : place + 1], *trail[max(place + 1, len(trail) - 1) :]]


def _at(sighting: LocationFix) -> datetime:
    return sighting.at


def _activity(scan: Scan, code: CodeRules) -> Activity:
    return Activity(scan.scan_time, scan.player_id, code.id, code.org_id, scan.coordinates)
