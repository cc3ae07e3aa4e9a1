"""Impossible travel: between scans that follow one another in time, by both clocks, with both accuracies."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.scans.checks import GPS_JITTER_M, is_within_jitter
from shared.scans.rules import CodeRules, Coordinates, JudgingLimits, LocationFix, Scan, Usage, distance_between, judge
from tests.reviews.factories import status
from tests.support.factories import AMSTERDAM, LISBON, SIX_KILOMETRES_OFF, make_code, make_player, submit_scan
from workers.scans import judge_pending

NOON = datetime(2026, 2, 12, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
LIMITS = JudgingLimits(max_age=timedelta(hours=72), max_accuracy_m=100, max_speed_mps=300)
CODE = CodeRules(uuid7(), "spy123", uuid7(), "item_drop", per_player_limit=None)
UTRECHT = Coordinates(52.0907, 5.1214)  # 35 km
APART = distance_between(AMSTERDAM, LISBON)
FLIGHT = timedelta(seconds=APART / 300)
SYDNEY = Coordinates(-33.8568, 151.2153)


def ride(less: float) -> timedelta:
    """As long as it takes to come so many metres nearer than six kilometres."""
    return timedelta(seconds=(distance_between(AMSTERDAM, SIX_KILOMETRES_OFF) - less) / 300)


def scan(
    place: Coordinates | None, at: datetime, received: datetime | None = None, accuracy: float | None = None
) -> Scan:
    return Scan(uuid7(), uuid7(), "spy123", CODE.id, at, received or at, place, accuracy)


def seen(
    place: Coordinates, at: datetime, received: datetime | None = None, accuracy: float | None = None
) -> LocationFix:
    return LocationFix(at, place, accuracy, received or at)


@pytest.mark.parametrize(
    ("scan_", "sightings", "held"),
    [
        (scan(LISBON, NOON), [], False),
        (scan(LISBON, NOON), [seen(AMSTERDAM, NOON - HOUR)], True),
        (scan(LISBON, NOON), [seen(AMSTERDAM, NOON - FLIGHT - SECOND)], False),
        (scan(LISBON, NOON), [seen(AMSTERDAM, NOON - FLIGHT + SECOND)], True),
        (scan(None, NOON), [seen(AMSTERDAM, NOON)], False),
        # accuracy: of both, in the player's favour, each as far as the limit
        (scan(SIX_KILOMETRES_OFF, NOON, accuracy=100), [seen(AMSTERDAM, NOON - ride(99))], False),
        (scan(SIX_KILOMETRES_OFF, NOON, accuracy=100), [seen(AMSTERDAM, NOON - ride(101))], True),
        (scan(SIX_KILOMETRES_OFF, NOON, accuracy=60), [seen(AMSTERDAM, NOON - ride(109), accuracy=50)], False),
        (scan(SIX_KILOMETRES_OFF, NOON, accuracy=60), [seen(AMSTERDAM, NOON - ride(111), accuracy=50)], True),
        (scan(SIX_KILOMETRES_OFF, NOON, accuracy=2e7), [seen(AMSTERDAM, NOON - ride(199), accuracy=2e7)], False),
        (scan(SIX_KILOMETRES_OFF, NOON, accuracy=2e7), [seen(AMSTERDAM, NOON - ride(201), accuracy=2e7)], True),
        (scan(LISBON, NOON, accuracy=2e7), [seen(AMSTERDAM, NOON)], True),
        (scan(LISBON, NOON), [seen(AMSTERDAM, NOON, accuracy=2e7)], True),
        # a fix that jumps
        (scan(Coordinates(52.382, 4.8926), NOON), [seen(AMSTERDAM, NOON)], False),
        # on either side in time: a scan dated back between two others
        (scan(LISBON, NOON - 9 * HOUR, NOON), [seen(AMSTERDAM, NOON - 9 * HOUR - MINUTE)], True),
        (scan(LISBON, NOON - 9 * HOUR, NOON), [seen(AMSTERDAM, NOON - 9 * HOUR + MINUTE, NOON)], True),
        (scan(LISBON, NOON - 9 * HOUR, NOON), [seen(AMSTERDAM, NOON - 12 * HOUR)], False),
        # both clocks: the phone was on line since, and could have handed it in
        (scan(LISBON, NOON - 9 * HOUR, NOON), [seen(AMSTERDAM, NOON - MINUTE)], True),
        (scan(LISBON, NOON - 9 * HOUR, NOON), [seen(AMSTERDAM, NOON - 4 * HOUR)], False),
        # a day out without a connection, handed in at once
        (scan(LISBON, NOON - 3 * HOUR, NOON), [seen(AMSTERDAM, NOON - 9 * HOUR, NOON)], False),
        (scan(AMSTERDAM, NOON - 9 * HOUR, NOON), [seen(LISBON, NOON - 3 * HOUR, NOON)], False),
        (scan(UTRECHT, NOON - 10 * MINUTE, NOON), [seen(AMSTERDAM, NOON - HOUR, NOON)], False),
        # and then on line again
        (scan(AMSTERDAM, NOON), [seen(LISBON, NOON - 9 * HOUR, NOON - SECOND)], False),
    ],
)
def test_travel(scan_: Scan, sightings: list[LocationFix], held: bool) -> None:
    verdict = judge(scan_, CODE, Usage(), sightings, LIMITS)
    assert (verdict.status, verdict.reason) == (("held", "impossible_travel") if held else ("success", None))


NOW = datetime.now(UTC)
OUTING = [(AMSTERDAM, 9.0), (UTRECHT, 8.0), (LISBON, 4.0), (AMSTERDAM, 0.5)]
"""Places, and how many hours ago."""


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
def test_an_outing_without_a_connection_is_believed_in_any_order(
    conn: Conn, order: tuple[int, ...], one_batch: bool
) -> None:
    player = make_player(conn)
    scans = []
    for place, hours in (OUTING[n] for n in order):
        at = NOW - timedelta(hours=hours)
        scans.append(submit_scan(conn, player, make_code(conn), place, scanned_at=at))
        if not one_batch:
            judge_pending()
    judge_pending()
    assert [status(conn, scan_id) for scan_id in scans] == [("success", None)] * 4


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
def test_a_scan_dated_back_between_two_others_is_not(conn: Conn, one_batch: bool) -> None:
    player = make_player(conn)
    told = []
    for place, hours in ((AMSTERDAM, 9.0), (AMSTERDAM, 0.5), (LISBON, 8.9)):
        scan_id = submit_scan(conn, player, make_code(conn), place, scanned_at=NOW - timedelta(hours=hours))
        told.append(scan_id)
        if not one_batch:
            judge_pending()
    judge_pending()
    assert status(conn, told[-1]) == ("held", "impossible_travel")


def test_a_scan_dated_back_past_a_live_one_is_judged_by_the_servers_clock_too(conn: Conn) -> None:
    player = make_player(conn)
    submit_scan(conn, player, make_code(conn), AMSTERDAM)
    judge_pending()
    back = submit_scan(conn, player, make_code(conn), LISBON, scanned_at=NOW - timedelta(hours=9))
    judge_pending()
    assert status(conn, back) == ("held", "impossible_travel")


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("hours", [None, 30], ids=["live", "late"])
def test_a_claimed_accuracy_hides_nothing_from_the_scan_after_it(
    conn: Conn, one_batch: bool, hours: int | None
) -> None:
    player, told = make_player(conn), []
    for minutes, (place, accuracy) in enumerate(((AMSTERDAM, 5.0), (SYDNEY, 2e7), (SYDNEY, 5.0))):
        at = hours and NOW - timedelta(hours=hours, minutes=-minutes)
        told.append(submit_scan(conn, player, make_code(conn), place, accuracy_m=accuracy, scanned_at=at))
        if not one_batch:
            judge_pending()
    judge_pending()
    assert [status(conn, scan_id) for scan_id in told] == [("success", None), *[("held", "impossible_travel")] * 2]


def test_a_scan_that_is_not_accurate_is_measured_from_all_the_same(conn: Conn) -> None:
    player = make_player(conn)
    for place in (AMSTERDAM, SYDNEY):
        last = submit_scan(conn, player, make_code(conn), place, accuracy_m=2e7)
        judge_pending()
    assert status(conn, last) == ("held", "impossible_travel")


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
@example(90.0, 0.0, -0.0089525, 0.0)  # a degree of latitude is the longest at a pole
@example(0.0, 0.0, 0.0, 0.0089525)  # and of longitude at the equator
def test_whatis_near_at_a_glanceis_near(latitude: float, longitude: float, north: float, east: float) -> None:
    """The short cut never spares a journey that the geodesic would have judged."""
    place = Coordinates(latitude, longitude)
    other = Coordinates(max(-90.0, min(90.0, latitude + north)), max(-180.0, min(180.0, longitude + east)))
    assert not is_within_jitter(place, other) or distance_between(place, other) <= GPS_JITTER_M


def test_whatis_near_at_a_glance_is_not_measured() -> None:
    assert is_within_jitter(AMSTERDAM, Coordinates(AMSTERDAM.latitude + 0.004, AMSTERDAM.longitude - 0.004))
    assert not is_within_jitter(AMSTERDAM, UTRECHT)
