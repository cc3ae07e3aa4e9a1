"""Statistics of codes and organizations, rolled up or not, in any time zone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.analytics.calendar import utc_offsets
from shared.analytics.statistics import statistics
from shared.analytics.unaggregated import RollupSubject
from shared.infra.db import Conn
from tests.analytics.factories import NOON, correct, rebuild_all, roll_up, settle, visit
from tests.support.callers import Staff
from tests.support.factories import make_code, make_org, make_player, submit_scan


@pytest.fixture
def code(conn: Conn, staff: Staff) -> UUID:
    return make_code(conn, staff.org_id)


@pytest.fixture
def ask(client: Any, staff: Staff) -> Any:
    def get(path: str, status: int = 200, **query: str) -> Any:
        answer = client.get(f"{staff.path}{path}", query_string=query, headers=staff.analyst.headers)
        assert answer.status_code == status, answer.text
        return answer.json

    return get


def happen(conn: Conn, code: UUID) -> None:
    """Insert scans one after another, and roll up some of them meanwhile."""
    ada, grace = make_player(conn), make_player(conn)
    settle(conn, ada, code, at=NOON, device="phone")
    settle(conn, ada, code, "failure", NOON + timedelta(hours=1), reason="cooldown", device="phone")
    settle(conn, grace, code, "failure", NOON + timedelta(days=1), reason="cooldown", device="tablet")
    held = settle(conn, grace, code, "held", NOON + timedelta(days=1, hours=13))
    for device in ("phone", "phone", "desktop", "bot"):
        visit(conn, code, device=device)
    roll_up()
    correct(conn, held, "success")
    settle(conn, ada, code, "failure", NOON + timedelta(days=2), reason="sold_out", device="desktop")
    correct(conn, settle(conn, make_player(conn), code, at=NOON - timedelta(days=9)), "annulled")
    settle(conn, make_player(conn), code, "held", reason="impossible_travel")
    submit_scan(conn, ada, code)
    visit(conn, code, device="tablet")
    visit(conn, code, device="bot")


FIGURES = {
    "scans": {"total": 8, "success": 2, "failure": 3, "pending": 1, "held": 1, "annulled": 1},
    "success_rate": 2 / 7,
    "reasons": {"cooldown": 2, "sold_out": 1},
    "unique_players": 4,
    "devices": {"phone": 2, "tablet": 1, "desktop": 1, "other": 3},
    "hours": [0] * 1 + [1] + [0] * 10 + [5, 1] + [0] * 10,
    "visits": {"total": 4, "bots": 2, "devices": {"phone": 2, "tablet": 1, "desktop": 1, "other": 0}},
    "first_scan_at": "2026-03-19T12:00:00Z",
    "last_scan_at": "2026-03-30T12:00:00Z",
    "tz": "UTC",
}


@pytest.mark.parametrize("then", ["leave a tail", "roll up", "rebuild"])
def test_statistics_equal_the_raw_counts(conn: Conn, ask: Any, code: UUID, then: str) -> None:
    happen(conn, code)
    happen(conn, make_code(conn, make_org(conn)))
    if then == "roll up":
        roll_up()
    if then == "rebuild":
        rebuild_all(conn)

    result = ask(f"/qr-codes/{code}/stats")
    assert {name: result[name] for name in FIGURES} == FIGURES
    assert "cache" not in result
    of_all = ask("/stats")
    assert {name: of_all[name] for name in FIGURES} == FIGURES
    assert (of_all["codes"], of_all["as_of"][-1]) == (1, "Z")


@pytest.mark.parametrize("then", ["leave a tail", "roll up", "rebuild"])
def test_a_late_scan_is_neither_first_nor_last(conn: Conn, ask: Any, code: UUID, then: str) -> None:
    for at in (NOON - timedelta(days=20_000), NOON - timedelta(hours=1), NOON + timedelta(hours=1)):
        settle(conn, make_player(conn), code, "failure", at, reason="too_late")
    settle(conn, make_player(conn), code)
    if then != "leave a tail":
        roll_up()
    if then == "rebuild":
        rebuild_all(conn)

    result = ask("/stats")

    assert (result["first_scan_at"], result["last_scan_at"]) == ("2026-03-28T12:00:00Z",) * 2
    assert result["reasons"] == {"too_late": 3}


def test_a_player_of_two_codes_counts_once_for_the_organization(conn: Conn, staff: Staff, ask: Any, code: UUID) -> None:
    ada = make_player(conn)
    settle(conn, ada, code)
    roll_up()
    settle(conn, ada, make_code(conn, staff.org_id))
    assert ask("/stats")["unique_players"] == 1


def test_statistics_without_scans_are_zero(ask: Any, code: UUID) -> None:
    result = ask(f"/qr-codes/{code}/stats")
    assert set(result["scans"].values()) == {0}
    assert (result["success_rate"], result["first_scan_at"], result["last_scan_at"]) == (None, None, None)
    assert (result["reasons"], result["hours"], result["unique_players"]) == ({}, [0] * 24, 0)


@pytest.mark.parametrize(
    ("tz", "hours"),
    [
        ("UTC", {22: 2, 0: 1}),
        ("Europe/Amsterdam", {23: 1, 0: 1, 2: 1}),  # clocks are put forward between the first and the second
        ("Asia/Kathmandu", {3: 1, 4: 1, 6: 1}),
        ("America/New_York", {18: 2, 20: 1}),
    ],
)
def test_hours_are_counted_in_the_time_zone(conn: Conn, ask: Any, code: UUID, tz: str, hours: dict[int, int]) -> None:
    """22:10 and 22:20 UTC on the day before and the day of the change, then midnight UTC."""
    for at in (datetime(2026, 3, 28, 22, 10), datetime(2026, 3, 29, 22, 20), datetime(2026, 3, 30, 0, 30)):  # noqa: DTZ001
        settle(conn, make_player(conn), code, at=at.replace(tzinfo=UTC))
    roll_up()

    result = ask(f"/qr-codes/{code}/stats", tz=tz)["hours"]

    assert {hour: count for hour, count in enumerate(result) if count} == hours


def test_a_scan_dated_long_ago_by_hand_is_reported(conn: Conn, code: UUID, staff: Staff) -> None:
    settle(conn, make_player(conn), code, at=datetime(2, 1, 1, 12, tzinfo=UTC))
    settle(conn, make_player(conn), code)
    roll_up()
    assert sum(statistics(conn, RollupSubject(code, staff.org_id), "Europe/Amsterdam").hours) == 2


def test_a_scan_dated_far_ahead_by_hand_costs_no_time(
    conn: Conn, code: UUID, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[datetime] = []

    def walk(tz: Any, since: datetime, until: datetime) -> Any:
        walked.append(until)
        return utc_offsets(tz, since, until)

    monkeypatch.setattr("shared.analytics.statistics.utc_offsets", walk)
    settle(conn, make_player(conn), code, at=datetime(9997, 1, 1, 12, tzinfo=UTC))
    assert sum(statistics(conn, RollupSubject(code, staff.org_id), "Europe/Amsterdam").hours) == 1
    settle(conn, make_player(conn), code)
    roll_up()
    assert sum(statistics(conn, RollupSubject(code, staff.org_id), "Europe/Amsterdam").hours) == 2
    assert max(walked) < datetime.now(UTC) + timedelta(days=2)


def test_statistics_are_cached_by_time_zone_until_a_change(
    client: Any, conn: Conn, staff: Staff, ask: Any, code: UUID
) -> None:
    first = ask(f"/qr-codes/{code}/stats")
    settle(conn, make_player(conn), code)

    assert ask(f"/qr-codes/{code}/stats") == first
    assert ask(f"/qr-codes/{code}/stats", tz="Asia/Tokyo")["scans"]["total"] == 1

    client.patch(f"{staff.codes}/{code}", json={"active": False}, headers=staff.admin.headers)
    assert ask(f"/qr-codes/{code}/stats")["scans"]["total"] == 1


def test_an_invalid_time_zone_or_code_is_rejected(client: Any, staff: Staff, ask: Any, code: UUID) -> None:
    for path in ("/stats", f"/qr-codes/{code}/stats"):
        (fault,) = ask(path, 422, tz="Mars/Base")["errors"]
        assert fault == {"loc": "query.tz", "message": "Use an IANA time zone such as Europe/Amsterdam."}
    client.delete(f"{staff.codes}/{code}", headers=staff.admin.headers)
    ask(f"/qr-codes/{code}/stats", 404)
