"""How a scan is judged, as tables and properties."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
from tests.support.factories import AMSTERDAM, LISBON, SIX_KILOMETRES_OFF, SIXTY_METRES_OFF

NOON = datetime(2026, 2, 12, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIMITS = JudgingLimits(max_age=timedelta(hours=72), max_accuracy_m=100, max_speed_mps=300)
PLAYER, ORG, CODE = uuid7(), uuid7(), uuid7()
GEM = {"reward": "gem", "quantity": 2}

drop = CodeRules(id=CODE, code="spy123", org_id=ORG, scan_type="item_drop", reward_item="gem", reward_quantity=2)
here = replace(drop, requires_location=True, coordinates=AMSTERDAM, radius_m=50)
scan = Scan(uuid7(), PLAYER, "spy123", CODE, scan_time=NOON, received_at=NOON, coordinates=AMSTERDAM)
once_before = Usage(1, ((NOON - MINUTE, NOON - MINUTE),))
in_lisbon = LocationFix(NOON - 10 * MINUTE, LISBON)


def failure(reason: str) -> tuple[str, str]:
    return ("failure", reason)


SUCCESS = ("success", None)


@pytest.mark.parametrize(
    ("scan", "code", "usage", "sighting", "expected"),
    [
        (scan, drop, Usage(), None, SUCCESS),
        (replace(scan, received_at=NOON + timedelta(hours=72)), drop, Usage(), None, SUCCESS),
        (replace(scan, received_at=NOON + timedelta(hours=72, seconds=1)), drop, Usage(), None, failure("too_late")),
        (scan, None, Usage(), None, failure("unknown_code")),
        (scan, replace(drop, deleted=True), Usage(), None, failure("unknown_code")),
        (scan, replace(drop, scan_type=None), Usage(), None, failure("unknown_code")),
        (scan, replace(drop, active=False), Usage(), None, failure("inactive")),
        (scan, replace(drop, starts_at=NOON), Usage(), None, SUCCESS),
        (scan, replace(drop, starts_at=NOON + MINUTE), Usage(), None, failure("not_started")),
        (scan, replace(drop, expires_at=NOON), Usage(), None, failure("expired")),
        (scan, replace(drop, expires_at=NOON + MINUTE), Usage(), None, SUCCESS),
        # presence
        (replace(scan, coordinates=None), drop, Usage(), None, SUCCESS),
        (replace(scan, coordinates=None), here, Usage(), None, failure("location_required")),
        (replace(scan, coordinates=SIXTY_METRES_OFF), here, Usage(), None, failure("not_present")),
        (replace(scan, coordinates=SIXTY_METRES_OFF), replace(here, radius_m=70), Usage(), None, SUCCESS),
        (replace(scan, coordinates=SIX_KILOMETRES_OFF), drop, Usage(), None, SUCCESS),
        (replace(scan, accuracy_m=100.0), here, Usage(), None, SUCCESS),
        (replace(scan, accuracy_m=101.0), here, Usage(), None, failure("better_location_needed")),
        (replace(scan, accuracy_m=101.0), replace(here, radius_m=500), Usage(), None, SUCCESS),
        (replace(scan, accuracy_m=9e9), drop, Usage(), None, SUCCESS),
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
        (scan, drop, Usage(), LocationFix(NOON, SIXTY_METRES_OFF), SUCCESS),  # a fix that jumps is no journey
        # order: the first reason of the list that holds is given
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
            replace(scan, coordinates=SIX_KILOMETRES_OFF, accuracy_m=500.0),
            here,
            Usage(),
            None,
            failure("better_location_needed"),
        ),
    ],
)
def test_judge(
    scan: Scan, code: CodeRules | None, usage: Usage, sighting: LocationFix | None, expected: tuple[str, str | None]
) -> None:
    verdict = judge(scan, code, usage, [sighting] if sighting else [], LIMITS)
    assert (verdict.status, verdict.reason) == expected


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (drop, GEM),
        (replace(drop, reward_item=None, reward_quantity=None), {}),
        (replace(drop, scan_type="encounter", encounter={"id": "e"}), {"encounter": {"id": "e"}}),
        (replace(drop, scan_type="transportation", destination={"code": "x"}), {"destination": {"code": "x"}}),
    ],
)
def test_what_a_success_gives(code: CodeRules, outcome: dict[str, object]) -> None:
    assert judge(scan, code, Usage(), [], LIMITS).outcome == outcome


def test_a_held_scan_remembers_what_it_withholds() -> None:
    assert judge(scan, drop, Usage(), [in_lisbon], LIMITS).outcome == GEM


def test_every_reason_has_its_words() -> None:
    assert set(MESSAGES) == set(REASONS)


places = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))


@given(places, places)
def test_the_answer_tells_nothing_of_the_distance(near: Coordinates, far: Coordinates) -> None:
    """Two failures for absence differ in nothing that is shown."""
    given_up = [judge(replace(scan, coordinates=place), here, Usage(), [], LIMITS) for place in (near, far)]
    shown = {(v.status, v.reason, MESSAGES[v.reason or ""]) for v in given_up if v.reason == "not_present"}
    assert len(shown) <= 1


@given(places, places)
def test_distance_is_a_metric(a: Coordinates, b: Coordinates) -> None:
    assert distance_between(a, b) == pytest.approx(distance_between(b, a), abs=1e-6)
    assert 0 <= distance_between(a, b) <= 20_003_932  # half a meridian of the ellipsoid
    assert distance_between(a, a) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (AMSTERDAM, SIXTY_METRES_OFF, 60),
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
    ],
)
def test_the_code_inside_what_was_scanned(scanned: str, code: str) -> None:
    assert extract_code(scanned) == code


@given(st.text(max_size=300))
@example("%00")
def test_no_scanned_text_breaks_the_reader(text: str) -> None:
    """And what is read is part of what was scanned: nothing is unescaped that could not be stored."""
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
    taken=st.integers(0, 5),
    cooldown=st.none() | st.integers(1, 5),
)
def test_a_batch_is_judged_as_one_by_one(
    n: int, players: int, limit: int | None, stock: int | None, taken: int, cooldown: int | None
) -> None:
    """Limits, stock and cooldowns hold within a batch just as across batches."""
    code = replace(
        drop,
        per_player_limit=limit,
        max_scans=stock,
        use_count=taken,
        cooldown=timedelta(minutes=cooldown) if cooldown else None,
    )
    scans = batch(n, players=players, step=MINUTE)
    together = judge_all(scans, JudgingContext({CODE: code}, {}, {}), LIMITS)

    alone: dict[UUID, Verdict] = {}
    usages: dict[UUID, Usage] = {}
    for one in scans:
        usage = usages.get(one.player_id, Usage())
        alone[one.id] = judge(one, code, usage, [], LIMITS)
        if alone[one.id].counts_as_use:
            code = replace(code, use_count=code.use_count + 1)
            usages[one.player_id] = Usage(usage.count + 1, (*usage.times, (one.scan_time, one.received_at)))

    assert together == alone
    successes = [one for one in scans if together[one.id].status == "success"]
    if stock is not None:
        assert len(successes) <= max(0, stock - taken)
    for player in {one.player_id for one in scans}:
        times = [one.scan_time for one in successes if one.player_id == player]
        assert limit is None or len(times) <= limit
        if cooldown is not None:
            assert all(later - earlier >= cooldown * MINUTE for earlier, later in pairwise(times))


def test_a_batch_notices_a_player_in_two_places() -> None:
    first = replace(scan, id=uuid7())
    second = replace(scan, id=uuid7(), coordinates=LISBON, scan_time=NOON + MINUTE)
    code = replace(drop, per_player_limit=None)
    verdicts = judge_all([first, second], JudgingContext({CODE: code}, {}, {}), LIMITS)
    assert [verdicts[s.id].status for s in (first, second)] == ["success", "held"]
