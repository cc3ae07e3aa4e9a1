"""Judging scans. Pure: values in, verdicts out, without clock, store or environment."""

import re
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from shared.codes.rotation import find_step_mac
from shared.encounters.rules import to_solution
from shared.infra.blanks import trim
from shared.scans.checks import CHECKS, CODE_CHECKS, Check, JudgingInput
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
from shared.scans.travel import distance_between

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
    "extract_step_mac",
    "judge",
    "judge_all",
]


CODE_PATH = "/s"
"""The path before the code text in a code URL."""


SYMBOLOGY_IDENTIFIER = re.compile(r"^\][A-Za-z][0-9A-Za-z]")


def extract_code(scanned: str, extra_paths: Sequence[str] = ()) -> str:
    """Return the code text in `scanned`: the last segment of an http(s) URL ending in /s/{code}, else the text itself.

    Blanks and line ends around it are left out, and the identifier that some scanners put before it (ISO/IEC 15424).
    `extra_paths` are paths of older services, such as `/q`, that precede a code text like `/s`.
    """
    scanned = _strip(scanned)
    url = _split_code_url(scanned, extra_paths)
    return scanned if url is None else _last_segment(url)


def extract_step_mac(scanned: str, extra_paths: Sequence[str] = ()) -> str | None:
    """Return the `{step}.{mac}` of a rotating code in a scanned code URL. None if it has none of this form."""
    url = _split_code_url(_strip(scanned), extra_paths)
    return None if url is None else find_step_mac(url.query)


def _strip(scanned: str) -> str:
    return trim(SYMBOLOGY_IDENTIFIER.sub("", trim(scanned))) or scanned


def _split_code_url(scanned: str, extra_paths: Sequence[str]) -> SplitResult | None:
    # urlsplit would drop line breaks.
    if scanned[:4].lower() != "http" or not scanned.isprintable():
        return None
    try:
        url = urlsplit(scanned)
    except ValueError:
        # For example a broken IPv6 host: an unknown code like any other.
        return None
    parent, _, last = url.path.rstrip("/").rpartition("/")
    is_code_url = (
        url.scheme in ("http", "https")
        and url.netloc
        and parent.endswith((CODE_PATH, CODE_PATH.upper(), *extra_paths))
        and last
    )
    return url if is_code_url else None


def _last_segment(url: SplitResult) -> str:
    return url.path.rstrip("/").rpartition("/")[2]


# Unpacked once: `judge` runs for every scan.
BEFORE_DISTANCE = tuple((check.applies, check) for check in CODE_CHECKS)
AFTER_DISTANCE = tuple((check.applies, check) for check in CHECKS[len(CODE_CHECKS) :])


def judge(
    scan: Scan,
    code: CodeRules | None,
    usage: Usage,
    location_fixes: Sequence[LocationFix],
    limits: JudgingLimits,
    fair_play: FairPlay = NO_FAIR_PLAY,
    nearby_activity: NearbyActivity = NO_ACTIVITY,
    explain: bool = False,
) -> Verdict:
    """Return the verdict on one scan: the first check that applies decides, else it is a success.

    `location_fixes` are the submitter's fixes next to the scan in time and the last of all, and the same of the
    accurate ones. `explain` adds the decision inputs to a success too.
    """
    case = JudgingInput(scan, code or UNKNOWN_CODE, usage, location_fixes, limits, fair_play, nearby_activity)
    for applies, check in BEFORE_DISTANCE:
        if applies(case):
            return Verdict("failure", check.reason, decision_inputs=_decision_inputs(case, check))
    case.measure_distance()
    for applies, check in AFTER_DISTANCE:
        if applies(case):
            is_held = check.status == "held"
            return Verdict(
                check.status,
                check.reason,
                case.distance_m,
                _outcome(case.code) if is_held else {},
                _decision_inputs(case, check),
                is_held and case.compares_coordinates,
                _puzzle(case.code) if is_held else None,
            )
    decision_inputs = _decision_inputs(case, CHECKS[-1]) if explain else None
    return Verdict(
        "success",
        None,
        case.distance_m,
        _outcome(case.code),
        decision_inputs,
        case.compares_coordinates,
        _puzzle(case.code),
    )


def _decision_inputs(case: JudgingInput, last: Check) -> dict[Reason, Mapping[str, Any]]:
    return {check.reason: check.inputs(case) for check in CHECKS[: CHECKS.index(last) + 1]}


def _outcome(code: CodeRules) -> Mapping[str, Any]:
    """Return what a success gives. The reward of an encounter is paid when it is solved, so it is not in here."""
    match code.scan_type:
        case "item_drop" if code.reward_item is not None:
            return {"reward": code.reward_item, "quantity": code.reward_quantity, "org_id": str(code.org_id)}
        case "encounter" if code.encounter is not None:
            return {"encounter": dict(code.encounter)}
        case "transportation" if code.destination is not None:
            return {"destination": dict(code.destination)}
    return {}


def _puzzle(code: CodeRules) -> Mapping[str, Any] | None:
    """Return the terms of the puzzle that a success opens: reward, attempts, hours, and the digest of the solution."""
    if code.scan_type != "encounter" or code.encounter is None:
        return None
    solution = to_solution(code.encounter["puzzle_type"], code.solution)
    return {
        "encounter_id": code.encounter["id"],
        "max_attempts": code.max_attempts,
        "reward": code.reward_item,
        "quantity": code.reward_quantity,
        "solution_digest": solution and solution.digest.hex(),
        "answer_within_hours": code.answer_within_hours,
    }


def judge_all(
    scans: Iterable[Scan], context: JudgingContext, limits: JudgingLimits, *, explain: bool = False
) -> dict[UUID, Verdict]:
    """Return the verdicts on a batch by scan. Judge in the given order: uses and fixes of a scan count for the next.

    Travel is compared within one submitter: the scans of a player, or those of one API key for that player. Any
    organization can create an API key and submit scans for any player. Such scans must neither hold the player's own
    next scan nor reveal where the player was.
    """
    codes, usages = dict(context.codes), dict(context.usages)
    history = _location_history(context)
    accurate = {submitter: [fix for fix in fixes if fix.is_accurate(limits)] for submitter, fixes in history.items()}
    batch = BatchActivity()
    verdicts: dict[UUID, Verdict] = {}
    for scan in scans:
        code = codes.get(scan.qr_code_id) if scan.qr_code_id else None
        pair = (scan.player_id, code.id) if code else None
        usage = usages.get(pair, Usage()) if pair else Usage()
        submitter = (scan.player_id, scan.api_key_id)
        fixes, accurate_fixes = history.setdefault(submitter, []), accurate.setdefault(submitter, [])
        fair_play = context.fair_play.get(code.org_id, NO_FAIR_PLAY) if context.fair_play and code else NO_FAIR_PLAY
        nearby_activity = NO_ACTIVITY
        if fair_play is not NO_FAIR_PLAY and code:
            stored = context.nearby_activity.get(scan.id, NO_ACTIVITY)
            nearby_activity = batch.activity_around(_activity(scan, code), fair_play, stored)
        neighbors = _neighbors(fixes, scan)
        if len(accurate_fixes) < len(fixes):
            neighbors = [*neighbors, *_neighbors(accurate_fixes, scan)]
        verdict = judge(scan, code, usage, neighbors, limits, fair_play, nearby_activity, explain)
        verdicts[scan.id] = verdict
        if verdict.counts_as_use and code and pair:
            if code.max_scans is not None and verdict.uses_stock:
                codes[code.id] = replace(code, use_count=code.use_count + 1)
            usages[pair] = Usage(usage.count + 1, (*usage.times, (scan.scan_time, scan.received_at)))
            if scan.coordinates:
                fix = LocationFix(
                    scan.scan_time, scan.coordinates, scan.accuracy_m, scan.received_at, code.org_id, scan.api_key_id
                )
                insort(fixes, fix, key=_at)
                if fix.is_accurate(limits):
                    insort(accurate_fixes, fix, key=_at)
            if fair_play is not NO_FAIR_PLAY:
                batch.add(_activity(scan, code))
    return verdicts


def _location_history(context: JudgingContext) -> dict[tuple[UUID, UUID | None], list[LocationFix]]:
    """Return the known location fixes by player and API key, in order of time."""
    history: dict[tuple[UUID, UUID | None], list[LocationFix]] = defaultdict(list)
    for player_id, fixes in context.location_fixes.items():
        for fix in fixes:
            history[player_id, fix.api_key_id].append(fix)
    return history


def _neighbors(fixes: Sequence[LocationFix], scan: Scan) -> Sequence[LocationFix]:
    """Return the fixes right before and right after a scan, and the last of all."""
    if len(fixes) < 2:
        return fixes
    index = bisect_left(fixes, scan.scan_time, key=_at)
    return [*fixes[max(0, index - 1) : index + 1], *fixes[max(index + 1, len(fixes) - 1) :]]


def _at(fix: LocationFix) -> datetime:
    return fix.at


def _activity(scan: Scan, code: CodeRules) -> Activity:
    coordinates = scan.coordinates and (scan.coordinates, scan.api_key_id is not None)
    return Activity(scan.scan_time, scan.player_id, code.id, code.org_id, coordinates)
