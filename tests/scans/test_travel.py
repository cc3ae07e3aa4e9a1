"""Impossible travel between successive scans, by both clocks and with both accuracies."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.scans.rules import CodeRules, Coordinates, JudgingLimits, LocationFix, Scan, Usage, distance_between, judge
from shared.scans.travel import GPS_JITTER_M, is_within_jitter
from tests.reviews.factories import status
from tests.support.factories import AMSTERDAM, LISBON, SIX_KILOMETERS_OFF, make_code, make_player, submit_scan
from workers.scans import judge_pending

NOON = datetime(2026, 2, 12, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
LIMITS = JudgingLimits(max_age=timedelta(hours=72), max_accuracy_m=100, max_speed_mps=300)
CODE = CodeRules(uuid7(), "spy123", uuid7(), "item_drop", per_player_limit=None)
UTRECHT = Coordinates(52.0907, 5.1214)
APART = distance_between(AMSTERDAM, LISBON)
FLIGHT = timedelta(seconds=APART / 300)
SYDNEY = Coordinates(-33.8568, 151.2153)


def ride(less_m: float) -> timedelta:
    """Return the time for six kilometers minus `less_m` at the maximum speed."""
    return timedelta(seconds=(distance_between(AMSTERDAM, SIX_KILOMETERS_OFF) - less_m) / 300)


def scan(
    coordinates: Coordinates | None, at: datetime, received: datetime | None = None, accuracy: float | None = None
) -> Scan:
    return Scan(uuid7(), uuid7(), "spy123", CODE.id, at, received or at, coordinates, accuracy)


def fix(
    coordinates: Coordinates, at: datetime, received: datetime | None = None, accuracy: float | None = None
) -> LocationFix:
    return LocationFix(at, coordinates, accuracy, received or at)


@pytest.mark.parametrize(
    ("scan_", "location_fixes", "is_held"),
    [
        (scan(LISBON, NOON), [], False),
        (scan(LISBON, NOON), [fix(AMSTERDAM, NOON - HOUR)], True),
        (scan(LISBON, NOON), [fix(AMSTERDAM, NOON - FLIGHT - SECOND)], False),
        (scan(LISBON, NOON), [fix(AMSTERDAM, NOON - FLIGHT + SECOND)], True),
        (scan(None, NOON), [fix(AMSTERDAM, NOON)], False),
        # accuracy: both count in the player's favor, each up to the limit
        (scan(SIX_KILOMETERS_OFF, NOON, accuracy=100), [fix(AMSTERDAM, NOON - ride(99))], False),
        (scan(SIX_KILOMETERS_OFF, NOON, accuracy=100), [fix(AMSTERDAM, NOON - ride(101))], True),
        (scan(SIX_KILOMETERS_OFF, NOON, accuracy=60), [fix(AMSTERDAM, NOON - ride(109), accuracy=50)], False),
        (scan(SIX_KILOMETERS_OFF, NOON, accuracy=60), [fix(AMSTERDAM, NOON - ride(111), accuracy=50)], True),
        (scan(SIX_KILOMETERS_OFF, NOON, accuracy=2e7), [fix(AMSTERDAM, NOON - ride(199), accuracy=2e7)], False),
        (scan(SIX_KILOMETERS_OFF, NOON, accuracy=2e7), [fix(AMSTERDAM, NOON - ride(201), accuracy=2e7)], True),
        (scan(LISBON, NOON, accuracy=2e7), [fix(AMSTERDAM, NOON)], True),
        (scan(LISBON, NOON), [fix(AMSTERDAM, NOON, accuracy=2e7)], True),
        # GPS jitter
        (scan(Coordinates(52.382, 4.8926), NOON), [fix(AMSTERDAM, NOON)], False),
        # before and after: a scan dated back between two others
        (scan(LISBON, NOON - 9 * HOUR, NOON), [fix(AMSTERDAM, NOON - 9 * HOUR - MINUTE)], True),
        (scan(LISBON, NOON - 9 * HOUR, NOON), [fix(AMSTERDAM, NOON - 9 * HOUR + MINUTE, NOON)], True),
        (scan(LISBON, NOON - 9 * HOUR, NOON), [fix(AMSTERDAM, NOON - 12 * HOUR)], False),
        # both clocks: the phone was online since, and could have submitted it
        (scan(LISBON, NOON - 9 * HOUR, NOON), [fix(AMSTERDAM, NOON - MINUTE)], True),
        (scan(LISBON, NOON - 9 * HOUR, NOON), [fix(AMSTERDAM, NOON - 4 * HOUR)], False),
        # a day without a connection, submitted together
        (scan(LISBON, NOON - 3 * HOUR, NOON), [fix(AMSTERDAM, NOON - 9 * HOUR, NOON)], False),
        (scan(AMSTERDAM, NOON - 9 * HOUR, NOON), [fix(LISBON, NOON - 3 * HOUR, NOON)], False),
        (scan(UTRECHT, NOON - 10 * MINUTE, NOON), [fix(AMSTERDAM, NOON - HOUR, NOON)], False),
        # and then online again
        (scan(AMSTERDAM, NOON), [fix(LISBON, NOON - 9 * HOUR, NOON - SECOND)], False),
    ],
)
def test_impossible_travel(scan_: Scan, location_fixes: list[LocationFix], is_held: bool) -> None:
    verdict = judge(scan_, CODE, Usage(), location_fixes, LIMITS)
    assert (verdict.status, verdict.reason) == (("held", "impossible_travel") if is_held else ("success", None))


NOW = datetime.now(UTC)
OUTING = [(AMSTERDAM, 9.0), (UTRECHT, 8.0), (LISBON, 4.0), (AMSTERDAM, 0.5)]
"""Coordinates, and how many hours ago."""


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
def test_offline_scans_succeed_in_any_order_of_submission(conn: Conn, order: tuple[int, ...], one_batch: bool) -> None:
    player = make_player(conn)
    scans = []
    for coordinates, hours in (OUTING[n] for n in order):
        at = NOW - timedelta(hours=hours)
        scans.append(submit_scan(conn, player, make_code(conn), coordinates, scanned_at=at))
        if not one_batch:
            judge_pending()
    judge_pending()
    assert [status(conn, scan_id) for scan_id in scans] == [("success", None)] * 4


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
def test_scan_dated_back_between_two_others_is_held(conn: Conn, one_batch: bool) -> None:
    player = make_player(conn)
    for coordinates, hours in ((AMSTERDAM, 9.0), (AMSTERDAM, 0.5), (LISBON, 8.9)):
        last = submit_scan(conn, player, make_code(conn), coordinates, scanned_at=NOW - timedelta(hours=hours))
        if not one_batch:
            judge_pending()
    judge_pending()
    assert status(conn, last) == ("held", "impossible_travel")


def test_scan_dated_back_before_an_online_one_is_held(conn: Conn) -> None:
    player = make_player(conn)
    submit_scan(conn, player, make_code(conn), AMSTERDAM)
    judge_pending()
    dated_back = submit_scan(conn, player, make_code(conn), LISBON, scanned_at=NOW - timedelta(hours=9))
    judge_pending()
    assert status(conn, dated_back) == ("held", "impossible_travel")


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("hours", [None, 30], ids=["live", "late"])
def test_inaccurate_fix_does_not_replace_an_accurate_one(conn: Conn, one_batch: bool, hours: int | None) -> None:
    player, scans = make_player(conn), []
    for minutes, (coordinates, accuracy) in enumerate(((AMSTERDAM, 5.0), (SYDNEY, 2e7), (SYDNEY, 5.0))):
        at = hours and NOW - timedelta(hours=hours, minutes=-minutes)
        scans.append(submit_scan(conn, player, make_code(conn), coordinates, accuracy_m=accuracy, scanned_at=at))
        if not one_batch:
            judge_pending()
    judge_pending()
    assert [status(conn, scan_id) for scan_id in scans] == [("success", None), *[("held", "impossible_travel")] * 2]


def test_travel_is_measured_from_an_inaccurate_fix(conn: Conn) -> None:
    player = make_player(conn)
    for coordinates in (AMSTERDAM, SYDNEY):
        last = submit_scan(conn, player, make_code(conn), coordinates, accuracy_m=2e7)
        judge_pending()
    assert status(conn, last) == ("held", "impossible_travel")


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
@example(90.0, 0.0, -0.0089525, 0.0)  # a degree of latitude is longest at a pole
@example(0.0, 0.0, 0.0, 0.0089525)  # a degree of longitude is longest at the equator
def test_points_within_jitter_are_within_it_by_geodesic(
    latitude: float, longitude: float, north: float, east: float
) -> None:
    """The cheap bound never skips a leg that the geodesic distance would judge."""
    here = Coordinates(latitude, longitude)
    there = Coordinates(max(-90.0, min(90.0, latitude + north)), max(-180.0, min(180.0, longitude + east)))
    assert not is_within_jitter(here, there) or distance_between(here, there) <= GPS_JITTER_M


def test_is_within_jitter() -> None:
    assert is_within_jitter(AMSTERDAM, Coordinates(AMSTERDAM.latitude + 0.004, AMSTERDAM.longitude - 0.004))
    assert not is_within_jitter(AMSTERDAM, UTRECHT)
