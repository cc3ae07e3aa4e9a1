"""The checks of judging, as a table, and properties of judging a batch."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.codes.rotation import Rotation
from shared.infra.ids import uuid7
from shared.scans.rules import (
    MESSAGES,
    REASONS,
    CodeRules,
    Coordinates,
    JudgingContext,
    JudgingLimits,
    LocationFix,
    Scan,
    Usage,
    Verdict,
    distance_between,
    extract_code,
    judge,
    judge_all,
)
from tests.support.factories import AMSTERDAM, LISBON, SIX_KILOMETERS_OFF, SIXTY_METERS_OFF

NOON = datetime(2026, 2, 12, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LIMITS = JudgingLimits(max_age=timedelta(hours=72), max_accuracy_m=100, max_speed_mps=300)
PLAYER, ORG, CODE = uuid7(), uuid7(), uuid7()
GEM = {"reward": "gem", "quantity": 2, "org_id": str(ORG)}

drop = CodeRules(id=CODE, code="spy123", org_id=ORG, scan_type="item_drop", reward_item="gem", reward_quantity=2)
here = replace(drop, requires_location=True, coordinates=AMSTERDAM, radius_m=50)
scan = Scan(uuid7(), PLAYER, "spy123", CODE, scan_time=NOON, received_at=NOON, coordinates=AMSTERDAM)
ROTATION = Rotation(30, b"k" * 32)
turning = replace(drop, rotation=ROTATION)
once_before = Usage(1, ((NOON - MINUTE, NOON - MINUTE),))
in_lisbon = LocationFix(NOON - 10 * MINUTE, LISBON)


def failure(reason: str) -> tuple[str, str]:
    return ("failure", reason)


SUCCESS = ("success", None)


def shown(steps_before: int) -> Scan:
    """Return the scan with the step that screens showed this number of steps before it."""
    return replace(scan, step_mac=ROTATION.sign(ROTATION.step_at(NOON) - steps_before))


@pytest.mark.parametrize(
    ("scan", "code", "usage", "fix", "expected"),
    [
        (scan, drop, Usage(), None, SUCCESS),
        (replace(scan, received_at=NOON + timedelta(hours=72)), drop, Usage(), None, SUCCESS),
        (replace(scan, received_at=NOON + timedelta(hours=72, seconds=1)), drop, Usage(), None, failure("too_late")),
        (scan, None, Usage(), None, failure("unknown_code")),
        (scan, replace(drop, deleted=True), Usage(), None, failure("unknown_code")),
        (scan, replace(drop, scan_type=None), Usage(), None, failure("unknown_code")),
        (scan, turning, Usage(), None, failure("forged_code")),
        (replace(scan, step_mac=ROTATION.sign(0)[:-1]), turning, Usage(), None, failure("forged_code")),
        (shown(0), turning, Usage(), None, SUCCESS),
        (shown(0), drop, Usage(), None, SUCCESS),
        (shown(1), turning, Usage(), None, SUCCESS),
        (shown(2), turning, Usage(), None, failure("stale_code")),
        # a server or a phone whose clock is ahead or slow by a step
        (shown(-1), turning, Usage(), None, SUCCESS),
        (shown(-2), turning, Usage(), None, failure("stale_code")),
        # offline: by the time of the scan
        (replace(shown(1), received_at=NOON + HOUR), turning, Usage(), None, SUCCESS),
        (replace(shown(2), received_at=NOON + HOUR), turning, Usage(), None, failure("stale_code")),
        (replace(shown(-2), received_at=NOON + HOUR), turning, Usage(), None, failure("stale_code")),
        (replace(shown(0), received_at=NOON + 100 * HOUR), turning, Usage(), None, failure("too_late")),
        # live, from a phone whose clock is a minute slow
        (replace(shown(-2), received_at=NOON + MINUTE), turning, Usage(), None, SUCCESS),
        (replace(shown(-3), received_at=NOON + MINUTE), turning, Usage(), None, SUCCESS),
        (replace(shown(-4), received_at=NOON + MINUTE), turning, Usage(), None, failure("stale_code")),
        # before the other checks of the code, after its existence
        (shown(2), replace(turning, active=False), Usage(), None, failure("stale_code")),
        (scan, replace(turning, expires_at=NOON), Usage(), None, failure("forged_code")),
        (scan, replace(turning, deleted=True), Usage(), None, failure("unknown_code")),
        (scan, replace(drop, active=False), Usage(), None, failure("inactive")),
        (scan, replace(drop, starts_at=NOON), Usage(), None, SUCCESS),
        (scan, replace(drop, starts_at=NOON + MINUTE), Usage(), None, failure("not_started")),
        (scan, replace(drop, expires_at=NOON), Usage(), None, failure("expired")),
        (scan, replace(drop, expires_at=NOON + MINUTE), Usage(), None, SUCCESS),
        (replace(scan, received_at=NOON + HOUR), replace(drop, offline=HOUR), Usage(), None, SUCCESS),
        (replace(scan, received_at=NOON + 2 * HOUR), replace(drop, offline=HOUR), Usage(), None, failure("too_late")),
        (replace(scan, received_at=NOON + 100 * HOUR), replace(drop, offline=200 * HOUR), Usage(), None, SUCCESS),
        # live only
        (replace(scan, received_at=NOON + MINUTE), replace(drop, offline=0 * HOUR), Usage(), None, SUCCESS),
        (
            replace(scan, received_at=NOON + 2 * MINUTE),
            replace(drop, offline=0 * HOUR),
            Usage(),
            None,
            failure("too_late"),
        ),
        # before the code was created, placed or activated; the phone's clock may be a minute slow
        (replace(scan, received_at=NOON + HOUR), replace(drop, usable_since=NOON), Usage(), None, SUCCESS),
        (
            replace(scan, received_at=NOON + HOUR),
            replace(drop, usable_since=NOON + MINUTE),
            Usage(),
            None,
            failure("not_started"),
        ),
        (replace(scan, received_at=NOON + MINUTE), replace(drop, usable_since=NOON + MINUTE), Usage(), None, SUCCESS),
        (scan, replace(drop, usable_since=NOON + MINUTE), Usage(), None, failure("not_started")),
        # presence
        (replace(scan, coordinates=None), drop, Usage(), None, SUCCESS),
        (replace(scan, coordinates=None), here, Usage(), None, failure("location_required")),
        (replace(scan, coordinates=SIXTY_METERS_OFF), here, Usage(), None, failure("not_present")),
        (replace(scan, coordinates=SIXTY_METERS_OFF), replace(here, radius_m=70), Usage(), None, SUCCESS),
        (replace(scan, coordinates=SIX_KILOMETERS_OFF), drop, Usage(), None, SUCCESS),
        (replace(scan, accuracy_m=100.0), here, Usage(), None, SUCCESS),
        (replace(scan, accuracy_m=101.0), here, Usage(), None, failure("better_location_needed")),
        (replace(scan, accuracy_m=101.0), replace(here, radius_m=500), Usage(), None, SUCCESS),
        (replace(scan, accuracy_m=9e9), drop, Usage(), None, SUCCESS),
        # outside the radius by an accuracy larger than it: the same answer at any distance
        *(
            (replace(scan, coordinates=place, accuracy_m=accuracy), here, Usage(), None, failure(reason))
            for place in (SIXTY_METERS_OFF, SIX_KILOMETERS_OFF)
            for accuracy, reason in ((50.0, "not_present"), (65.0, "better_location_needed"))
        ),
        (replace(scan, accuracy_m=65.0), here, Usage(), None, SUCCESS),
        # limits
        (scan, drop, once_before, None, failure("player_limit")),
        (scan, replace(drop, per_player_limit=2), once_before, None, SUCCESS),
        (scan, replace(drop, per_player_limit=None), Usage(9_999), None, SUCCESS),
        (
            scan,
            replace(drop, per_player_limit=None, cooldown=5 * MINUTE),
            once_before,
            None,
            failure("cooldown"),
        ),
        (
            scan,
            replace(drop, per_player_limit=None, cooldown=MINUTE),
            once_before,
            None,
            SUCCESS,
        ),
        (scan, replace(drop, max_scans=3, use_count=2), Usage(), None, SUCCESS),
        (scan, replace(drop, max_scans=3, use_count=3), Usage(), None, failure("sold_out")),
        # travel
        (scan, drop, Usage(), in_lisbon, ("held", "impossible_travel")),
        (scan, drop, Usage(), replace(in_lisbon, at=NOON - timedelta(hours=3)), SUCCESS),
        (scan, drop, Usage(), replace(in_lisbon, accuracy_m=3_000_000.0), ("held", "impossible_travel")),
        (replace(scan, coordinates=None), drop, Usage(), in_lisbon, SUCCESS),
        (scan, drop, Usage(), LocationFix(NOON, SIXTY_METERS_OFF), SUCCESS),  # GPS jitter
        # order: the first check that applies decides
        (
            replace(scan, coordinates=None),
            replace(here, active=False, expires_at=NOON),
            Usage(9),
            None,
            failure("inactive"),
        ),
        (replace(scan, coordinates=None), replace(here, expires_at=NOON), Usage(9), None, failure("expired")),
        (scan, replace(drop, max_scans=1, use_count=1), Usage(1), in_lisbon, failure("player_limit")),
        (
            replace(scan, coordinates=SIX_KILOMETERS_OFF, accuracy_m=500.0),
            here,
            Usage(),
            None,
            failure("better_location_needed"),
        ),
    ],
)
def test_judge(
    scan: Scan, code: CodeRules | None, usage: Usage, fix: LocationFix | None, expected: tuple[str, str | None]
) -> None:
    verdict = judge(scan, code, usage, [fix] if fix else [], LIMITS)
    assert (verdict.status, verdict.reason) == expected


PUZZLE = {"id": "e", "puzzle_type": "hacking"}


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (drop, GEM),
        (replace(drop, reward_item=None, reward_quantity=None), {}),
        (replace(drop, scan_type="encounter", encounter=PUZZLE), {"encounter": PUZZLE}),
        (replace(drop, scan_type="transportation", destination={"code": "x"}), {"destination": {"code": "x"}}),
    ],
)
def test_success_outcome(code: CodeRules, outcome: dict[str, object]) -> None:
    assert judge(scan, code, Usage(), [], LIMITS).outcome == outcome


def test_held_scan_stores_the_outcome_of_a_success() -> None:
    assert judge(scan, drop, Usage(), [in_lisbon], LIMITS).outcome == GEM


def test_every_reason_has_a_message() -> None:
    assert set(MESSAGES) == set(REASONS)


points = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))


@given(points, points)
def test_distance_is_symmetric_and_bounded(a: Coordinates, b: Coordinates) -> None:
    assert distance_between(a, b) == pytest.approx(distance_between(b, a), abs=1e-6)
    assert 0 <= distance_between(a, b) <= 20_003_932  # half a meridian of the ellipsoid
    assert distance_between(a, a) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (AMSTERDAM, SIXTY_METERS_OFF, 60),
        (Coordinates(0, 179.9999), Coordinates(0, -179.9999), 22),  # across the date line
        (Coordinates(89.9999, 0), Coordinates(89.9999, 180), 22),  # across the pole
        (Coordinates(52.3731, 4.8926), Coordinates(38.7075, -9.1364), 1_863_000),
    ],
)
def test_known_distances(a: Coordinates, b: Coordinates, expected: float) -> None:
    assert distance_between(a, b) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("scanned", "code"),
    [
        ("spy123", "spy123"),
        ("https://waymark.example/s/spy123", "spy123"),
        ("HTTP://other.example:8080/some/base/s/spy123", "spy123"),
        ("https://waymark.example/s/spy123/", "spy123"),
        ("https://waymark.example/s/spy123?utm=poster#top", "spy123"),
        ("https://waymark.example/x/spy123", "https://waymark.example/x/spy123"),
        ("https://waymark.example/s/", "https://waymark.example/s/"),
        ("ftp://waymark.example/s/spy123", "ftp://waymark.example/s/spy123"),
        ("http://[broken/s/spy123", "http://[broken/s/spy123"),
        ("httpcode", "httpcode"),
        ("spy123\r\n", "spy123"),
        ("spy123\r", "spy123"),
        (" \xa0spy123\u200b", "spy123"),
        ("https://waymark.example/s/spy123\r\n", "spy123"),
        ("]Q1https://waymark.example/s/spy123", "spy123"),
        (" ]Q3spy123\t", "spy123"),
        ("]Q1", "]Q1"),
        (" \r\n", " \r\n"),
    ],
)
def test_extract_code(scanned: str, code: str) -> None:
    assert extract_code(scanned) == code


@pytest.mark.parametrize(
    ("scanned", "code"),
    [
        ("https://older.example/q/spy123", "spy123"),
        ("HTTPS://OLDER.example/q/spy123/?utm_source=poster", "spy123"),
        ("https://older.example/qr/b/city-museum", "city-museum"),
        ("https://waymark.example/s/spy123", "spy123"),
        ("https://older.example/xq/spy123", None),
        ("https://older.example/b/spy123", None),
        ("https://older.example/qr/spy123", None),
        ("/q/spy123", None),
        ("spy123", "spy123"),
    ],
)
def test_extract_code_of_an_extra_path(scanned: str, code: str | None) -> None:
    assert extract_code(scanned, ("/q", "/qr/b")) == (code or scanned)


@given(st.text(max_size=300))
@example("%00")
def test_extracted_code_is_part_of_any_scanned_text(text: str) -> None:
    """Nothing is unescaped: `%00` would become a character that PostgreSQL does not store."""
    for scanned in (text, f"https://{text}", f"https://w.example/s/{text}"):
        assert extract_code(scanned) in scanned


def batch(n: int, *, players: int, step: timedelta) -> list[Scan]:
    ids = [UUID(int=k + 1) for k in range(players)]
    return [
        replace(
            scan,
            id=uuid7(),
            player_id=ids[k % players],
            coordinates=None,
            scan_time=NOON + k * step,
            received_at=NOON + k * step,
        )
        for k in range(n)
    ]


@given(
    n=st.integers(1, 30),
    players=st.integers(1, 5),
    limit=st.none() | st.integers(1, 3),
    stock=st.none() | st.integers(1, 10),
    use_count=st.integers(0, 5),
    cooldown=st.none() | st.integers(1, 5),
)
def test_batch_gets_the_verdicts_of_single_scans(
    n: int, players: int, limit: int | None, stock: int | None, use_count: int, cooldown: int | None
) -> None:
    """Limits, stock and cooldowns hold within a batch as they do between batches."""
    code = replace(
        drop,
        per_player_limit=limit,
        max_scans=stock,
        use_count=use_count,
        cooldown=timedelta(minutes=cooldown) if cooldown else None,
    )
    scans = batch(n, players=players, step=MINUTE)
    together = judge_all(scans, JudgingContext({CODE: code}, {}, {}), LIMITS)

    alone: dict[UUID, Verdict] = {}
    usages: dict[UUID, Usage] = {}
    for scan in scans:
        usage = usages.get(scan.player_id, Usage())
        alone[scan.id] = judge(scan, code, usage, [], LIMITS)
        if alone[scan.id].counts_as_use:
            code = replace(code, use_count=code.use_count + 1)
            usages[scan.player_id] = Usage(usage.count + 1, (*usage.times, (scan.scan_time, scan.received_at)))

    assert together == alone
    successes = [scan for scan in scans if together[scan.id].status == "success"]
    assert successes or stock is not None
    if stock is not None:
        assert len(successes) <= max(0, stock - use_count)
    for player in {scan.player_id for scan in scans}:
        times = [scan.scan_time for scan in successes if scan.player_id == player]
        assert limit is None or len(times) <= limit
        if cooldown is not None:
            assert all(later - earlier >= cooldown * MINUTE for earlier, later in pairwise(times))


def test_batch_holds_impossible_travel_within_it() -> None:
    first = replace(scan, id=uuid7())
    second = replace(scan, id=uuid7(), coordinates=LISBON, scan_time=NOON + MINUTE)
    code = replace(drop, per_player_limit=None)
    verdicts = judge_all([first, second], JudgingContext({CODE: code}, {}, {}), LIMITS)
    assert [verdicts[s.id].status for s in (first, second)] == ["success", "held"]
