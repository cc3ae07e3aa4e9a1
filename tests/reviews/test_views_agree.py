"""List, CSV, statistics and timeline count the same scans, for every range and every filter that they share."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.analytics.calendar import day_bounds, period_days
from shared.infra.db import Conn
from shared.reviews.scan_list import VERDICTS
from tests.analytics.factories import correct, roll_up
from tests.reviews.test_scan_list import insert
from tests.support.callers import Staff, add_member
from tests.support.factories import code_text, make_code, make_org, make_player

ZONES = ("UTC", "Europe/Amsterdam", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Niue")
STEPS = (timedelta(0), timedelta(microseconds=1), timedelta(seconds=1), timedelta(minutes=15), timedelta(hours=5))
REVIEWS = {"held": ("success", "annulled"), "success": ("annulled",)}


class Generated(NamedTuple):
    """A scan near the start of a day in some zone. `review` is the number of a review that follows, if one can."""

    code: int
    player: int
    verdict: tuple[str, str | None]
    zone: str
    days_ago: int
    step: timedelta
    is_before: bool
    review: int

    def time(self, now: datetime) -> datetime:
        """Return the time of the scan, which is not in the future."""
        days = period_days("7d", ZoneInfo(self.zone), now)
        border = day_bounds(days, ZoneInfo(self.zone))[7 - self.days_ago]
        return min(border - self.step if self.is_before else border + self.step, now)


scans = st.builds(
    Generated,
    st.integers(0, 1),
    st.integers(0, 2),
    st.sampled_from(VERDICTS),
    st.sampled_from(ZONES),
    st.integers(0, 7),
    st.sampled_from(STEPS),
    st.booleans(),
    st.integers(0, 5),
)


def to_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    generated=st.lists(scans, max_size=12),
    rolled_up=st.integers(0, 12),
    zone=st.sampled_from(ZONES),
    status=st.sampled_from(["any", "success", "failure", "held", "annulled", "pending"]),
    by_code=st.booleans(),
    borders=st.tuples(st.integers(0, 7), st.integers(0, 7)),
)
def test_views_count_the_same_scans(
    client: Any,
    conn: Conn,
    staff: Staff,
    generated: list[Generated],
    rolled_up: int,
    zone: str,
    status: str,
    by_code: bool,
    borders: tuple[int, int],
) -> None:
    """Some scans are in the rollups, and some are not. Some were reviewed. Another organization has scans, too."""
    now = datetime.now(UTC)
    org, headers = make_org(conn), staff.admin.headers
    add_member(conn, org, staff.admin.id, "admin")
    codes, players = [make_code(conn, org) for _ in range(2)], [make_player(conn) for _ in range(3)]
    insert(conn, players[0], make_code(conn), now - timedelta(hours=1))
    for number, each in enumerate(generated):
        scan = insert(conn, players[each.player], codes[each.code], each.time(now), *each.verdict)
        if number == rolled_up:
            roll_up()
        reviews = REVIEWS.get(each.verdict[0], ())
        if each.review < len(reviews):
            correct(conn, scan, reviews[each.review])
    path = f"/api/organizations/{org}"
    subject = f"{path}/qr-codes/{codes[0]}" if by_code else path
    shared = {"code": code_text(conn, codes[0])} if by_code else {}

    def read(name: str, **query: Any) -> Any:
        response = client.get(f"{name}?{urlencode(query)}", headers=headers)
        assert response.status_code == 200, response.text
        return response.json if response.is_json else list(csv.DictReader(StringIO(response.text, newline="")))

    listed = read(f"{path}/scans", status="any", limit=200, **shared)["items"]
    settled = [item for item in listed if item["status"] != "pending"]
    by_status = Counter(item["status"] for item in listed)

    # Statistics: all time, by status, reason and hour.
    stats = read(f"{subject}/stats", tz=zone)
    assert stats["scans"] == {"total": len(listed)} | {
        name: by_status[name] for name in ("success", "failure", "pending", "held", "annulled")
    }
    assert stats["reasons"] == Counter(item["reason"] for item in settled if item["status"] == "failure")
    assert stats["unique_players"] == len({item["player_id"] for item in settled})
    local_hours = Counter(to_time(item["scanned_at"]).astimezone(ZoneInfo(zone)).hour for item in settled)
    assert stats["hours"] == [local_hours[hour] for hour in range(24)]
    times = sorted(item["scanned_at"] for item in settled if item["reason"] != "too_late")
    assert [stats["first_scan_at"], stats["last_scan_at"]] == ([times[0], times[-1]] if times else [None, None])

    # The timeline: each of its days is a range of the list.
    days = read(f"{subject}/timeline", tz=zone, period="7d")["data"]
    bounds = day_bounds(period_days("7d", ZoneInfo(zone), now), ZoneInfo(zone))
    for day, start, end in zip(days, bounds, bounds[1:], strict=False):
        of_day = [item for item in settled if start <= to_time(item["scanned_at"]) < end]
        assert day["count"] == len(of_day), (day, zone)
        assert day["success"] == sum(item["status"] == "success" for item in of_day)
        if zone == "UTC":
            assert day["unique_players"] == len({item["player_id"] for item in of_day})

    # Any range of days: the list, the file, and the sum of the days.
    since, until = (bounds[border].isoformat().replace("+00:00", "Z") for border in sorted(borders))
    conditions = shared | {"status": status, "since": since, "until": until}
    in_range = read(f"{path}/scans", limit=200, **conditions)["items"]
    assert in_range == [
        item
        for item in listed
        if status in ("any", item["status"]) and to_time(since) <= to_time(item["scanned_at"]) < to_time(until)
    ]
    assert [row["scan_id"] for row in read(f"{path}/scans.csv", **conditions)] == [row["scan_id"] for row in in_range]
    counted = {"any": "count", "success": "success"}.get(status)
    if counted is not None:
        first, last = sorted(borders)
        total = sum(day[counted] for day in days[first:last])
        assert total == sum(item["status"] != "pending" for item in in_range)


def test_negative_control_a_list_by_time_of_receipt_disagrees(client: Any, conn: Conn, staff: Staff) -> None:
    """A scan of yesterday arrives today. By its time of receipt, it would be missing from the day that counts it."""
    code, midnight = make_code(conn, staff.org_id), day_bounds(period_days("7d", UTC, datetime.now(UTC)), UTC)[6]
    insert(conn, make_player(conn), code, midnight - timedelta(hours=1))
    by_receipt = conn.execute("SELECT count(*) FROM player_scans WHERE received_at < %s", (midnight,)).fetchone()
    data = client.get(f"{staff.path}/timeline?period=7d", headers=staff.analyst.headers).json["data"]
    until = midnight.isoformat().replace("+00:00", "Z")
    listed = client.get(f"{staff.path}/scans?status=any&until={until}", headers=staff.analyst.headers).json["items"]
    assert (by_receipt, data[5]["count"], len(listed)) == ((0,), 1, 1)
