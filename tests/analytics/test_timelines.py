"""Timelines over HTTP: days, counts and errors."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.analytics import unaggregated
from shared.analytics.calendar import DAYS, zone_names
from shared.analytics.timelines import timeline
from shared.analytics.unaggregated import RollupSubject
from shared.infra.db import Conn
from tests.analytics.factories import correct, roll_up, settle, visit
from tests.support.callers import Staff
from tests.support.factories import make_code, make_org, make_player

SOME_ZONES = ["UTC", "Europe/Amsterdam", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati", "America/Havana"]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def code(conn: Conn, staff: Staff) -> UUID:
    return make_code(conn, staff.org_id)


@pytest.fixture
def ask(client: Any, staff: Staff) -> Any:
    def get(path: str = "/timeline", status: int = 200, **query: str) -> Any:
        answer = client.get(f"{staff.path}{path}", query_string=query, headers=staff.analyst.headers)
        assert answer.status_code == status, answer.text
        return answer if path.endswith(".csv") else answer.json

    return get


@pytest.mark.parametrize("period", DAYS)
@pytest.mark.parametrize("tz", SOME_ZONES)
def test_a_timeline_has_every_day_in_order(ask: Any, code: UUID, period: str, tz: str) -> None:
    for path in ("/timeline", f"/qr-codes/{code}/timeline"):
        result = ask(path, period=period, tz=tz)

        assert (result["period"], result["tz"]) == (period, tz)
        today = datetime.now(ZoneInfo(tz)).date()
        n = len(result["data"])
        assert n == DAYS[period]  # type: ignore[index]
        assert [day["date"] for day in result["data"]] == [str(today - timedelta(days=n - 1 - k)) for k in range(n)]
        players = 0 if tz == "UTC" else None
        nothing = {"count": 0, "success": 0, "unique_players": players, "visits": 0}
        assert all(day == {"date": day["date"]} | nothing for day in result["data"])


def test_thirty_days_in_utc_by_default(ask: Any) -> None:
    result = ask()
    assert (result["period"], result["tz"], len(result["data"])) == ("30d", "UTC", 30)


@pytest.mark.parametrize("rolled", [True, False])
def test_a_timeline_equals_the_raw_counts(
    conn: Conn, ask: Any, staff: Staff, code: UUID, now: datetime, rolled: bool
) -> None:
    ada, grace = make_player(conn), make_player(conn)
    other = make_code(conn, staff.org_id)
    settle(conn, ada, code, at=now)
    settle(conn, ada, code, "failure", at=now)
    settle(conn, grace, code, "held", at=now)
    settle(conn, ada, other, at=now)
    correct(conn, settle(conn, ada, code, at=now - timedelta(days=3)), "annulled")
    visit(conn, code, now)
    visit(conn, code, now, "bot")
    settle(conn, ada, make_code(conn, make_org(conn)), at=now)
    if rolled:
        roll_up()

    days = ask(f"/qr-codes/{code}/timeline")["data"]
    assert days[-1] == {"date": str(now.date()), "count": 3, "success": 1, "unique_players": 2, "visits": 1}
    assert (days[-4]["count"], days[-4]["success"], days[-4]["unique_players"]) == (1, 0, 1)
    of_all = ask()["data"]
    assert of_all[-1] == {"date": str(now.date()), "count": 4, "success": 2, "unique_players": 2, "visits": 1}
    elsewhere = ask(f"/qr-codes/{code}/timeline", tz="Asia/Tokyo", period="7d")["data"]
    assert sum(day["count"] for day in elsewhere) == 4
    assert {day["unique_players"] for day in elsewhere} == {None}


def test_unaggregated_scans_add_to_the_rollups_once_per_player(conn: Conn, ask: Any, code: UUID, now: datetime) -> None:
    ada = make_player(conn)
    first = settle(conn, ada, code, at=now)
    visit(conn, code, now)
    roll_up()
    settle(conn, ada, code, at=now)
    settle(conn, make_player(conn), code, "failure", at=now)
    correct(conn, first, "annulled")
    visit(conn, code, now)

    for tz in ("UTC", "Etc/GMT-14"):
        today = ask(f"/qr-codes/{code}/timeline", tz=tz)["data"][-2:]
        assert sum(day["count"] for day in today) == 3
        assert sum(day["success"] for day in today) == 1
        assert sum(day["visits"] for day in today) == 2
    assert ask()["data"][-1]["unique_players"] == 2


@pytest.mark.parametrize("tz", ["UTC", "Europe/Amsterdam"])
def test_too_many_unaggregated_events_are_left_out_and_as_of_is_earlier(
    conn: Conn, ask: Any, code: UUID, now: datetime, monkeypatch: pytest.MonkeyPatch, tz: str
) -> None:
    player = make_player(conn)
    settle(conn, player, code, at=now)
    roll_up()
    monkeypatch.setattr(unaggregated, "MAX_UNAGGREGATED", 4)  # each scan has an event, and another once it is settled
    for _ in range(2):
        settle(conn, player, code, at=now)
    result = ask(tz=tz)
    assert sum(day["count"] for day in result["data"]) == 3
    settled_at = datetime.now(UTC)
    assert datetime.fromisoformat(result["as_of"]) >= now

    settle(conn, player, code, at=now)
    result = ask(tz=tz)

    assert sum(day["count"] for day in result["data"]) == 1
    assert now <= datetime.fromisoformat(result["as_of"]) < settled_at


@pytest.mark.parametrize(
    "path", ["/timeline", "/timeline.csv", "/qr-codes/{code}/timeline", "/qr-codes/{code}/timeline.csv"]
)
@pytest.mark.parametrize(
    ("query", "loc", "word"),
    [
        ({"period": "8d"}, "query.period", "Use 7d, 30d, 90d or 1y."),
        ({"period": ""}, "query.period", "90d or 1y"),
        ({"tz": "Mars/Base"}, "query.tz", "IANA time zone such as Europe/Amsterdam"),
        ({"tz": "../etc/passwd"}, "query.tz", "IANA"),
        ({"tz": "europe/amsterdam"}, "query.tz", "IANA"),
        ({"tz": "a\x00b"}, "query.tz", "NUL"),
    ],
)
def test_an_invalid_period_or_time_zone_returns_422(
    ask: Any, code: UUID, path: str, query: dict[str, str], loc: str, word: str
) -> None:
    refused = ask(path.format(code=code), 422, **query)
    (fault,) = (refused if isinstance(refused, dict) else refused.json)["errors"]
    assert fault["loc"] == loc
    assert word in fault["message"]


def test_a_timeline_as_csv_has_one_line_per_day(conn: Conn, ask: Any, code: UUID, now: datetime) -> None:
    settle(conn, make_player(conn), code, at=now)
    for path in ("/timeline.csv", f"/qr-codes/{code}/timeline.csv"):
        answer = ask(path, period="7d")

        assert answer.content_type == "text/csv; charset=utf-8; header=present"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="timeline-7d.csv"'
        header, *lines = csv.reader(answer.text.splitlines())
        assert header == ["date", "count", "success", "unique_players", "visits"]
        assert len(lines) == 7
        assert lines[-1] == [str(now.date()), "1", "1", "1", "0"]
    assert ask("/timeline.csv", bom="true").data == b"\xef\xbb\xbf" + ask("/timeline.csv").data
    assert ask("/timeline.csv", tz="Asia/Tokyo").text.splitlines()[1].split(",")[1:] == ["0", "0", "", "0"]


def test_a_timeline_of_a_deleted_code_returns_404(client: Any, conn: Conn, staff: Staff, ask: Any, code: UUID) -> None:
    settle(conn, make_player(conn), code, at=datetime.now(UTC))
    client.delete(f"{staff.codes}/{code}", headers=staff.admin.headers)
    ask(f"/qr-codes/{code}/timeline", 404)
    assert ask()["data"][-1]["count"] == 1


@pytest.mark.parametrize(
    ("tz", "days"),
    [
        # No midnight in April, and 23:30 twice in October.
        (
            "Africa/Cairo",
            {
                "2026-04-23": ["2026-04-23T21:59:59"],
                "2026-04-24": ["2026-04-23T22:00:00"],
                "2026-10-29": ["2026-10-29T20:30:00", "2026-10-29T21:30:00"],
                "2026-10-30": ["2026-10-29T22:00:00"],
            },
        ),
        # No midnight in September, and the hour before it twice in April.
        (
            "America/Santiago",
            {
                "2026-09-05": ["2026-09-06T03:59:59"],
                "2026-09-06": ["2026-09-06T04:00:00"],
                "2026-04-04": ["2026-04-05T02:30:00", "2026-04-05T03:30:00"],
                "2026-04-05": ["2026-04-05T04:00:00"],
            },
        ),
        # Offsets of 45 minutes, and clocks that change by 30.
        ("Asia/Kathmandu", {"2026-05-01": ["2026-05-01T18:14:59"], "2026-05-02": ["2026-05-01T18:15:00"]}),
        ("Pacific/Chatham", {"2026-06-01": ["2026-06-01T11:14:59"], "2026-06-02": ["2026-06-01T11:15:00"]}),
        (
            "Australia/Lord_Howe",
            {
                "2026-10-03": ["2026-10-03T13:29:59"],
                "2026-10-04": ["2026-10-03T13:30:00", "2026-10-04T12:59:59"],
                "2026-10-05": ["2026-10-04T13:00:00"],
            },
        ),
    ],
)
@pytest.mark.parametrize("rolled", [True, False])
def test_a_day_without_midnight_or_with_two_counts_its_own_scans(
    conn: Conn, tz: str, days: dict[str, list[str]], rolled: bool
) -> None:
    org, player = make_org(conn), make_player(conn)
    code = make_code(conn, org)
    for times in days.values():
        for at in times:
            settle(conn, player, code, at=datetime.fromisoformat(f"{at}Z"))
    if rolled:
        roll_up()
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    for subject in (RollupSubject(code, org), RollupSubject(org, org)):
        counted = {str(day): count for day, count, *_ in timeline(conn, subject, "1y", tz, now)}
        assert len(counted) == 365
        assert {day: count for day, count in counted.items() if count} == {day: len(days[day]) for day in days}
        in_utc = sum(count for _, count, *_ in timeline(conn, subject, "1y", "UTC", now))
        assert in_utc == sum(counted.values())


@given(
    st.sampled_from(sorted(zone_names())),
    st.lists(st.tuples(st.integers(0, 400 * 24 * 60), st.booleans(), st.booleans()), max_size=30),
    st.integers(0, 365),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_time_zone_each_scan_counts_on_its_local_day(
    conn: Conn, tz: str, scans: list[tuple[int, bool, bool]], shift: int
) -> None:
    """At any time of the year, rolled up or not, each day has the scans of its local date."""
    now = datetime(2026, 12, 31, 17, 31, tzinfo=UTC) - timedelta(days=shift)
    org, player = make_org(conn), make_player(conn)
    code = make_code(conn, org)
    expected: Counter[Any] = Counter()
    for minutes, succeeds, rolled in scans:
        at = now - timedelta(minutes=minutes)
        settle(conn, player, code, "success" if succeeds else "failure", at)
        day = at.astimezone(ZoneInfo(tz)).date()
        expected[day, "count"] += 1
        expected[day, "success"] += succeeds
        if rolled:
            roll_up()

    for subject in (RollupSubject(code, org), RollupSubject(org, org)):
        for day, count, success, _, _ in timeline(conn, subject, "1y", tz, now):
            assert (count, success) == (expected[day, "count"], expected[day, "success"]), day
