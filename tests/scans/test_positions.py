"""Retention of positions: what is cleared and what stays, also if a run is interrupted or runs twice."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.scans import positions
from shared.scans.judging_limits import from_settings
from shared.scans.model import Coordinates, JudgingLimits, LocationFix, Scan
from shared.scans.travel import leg_from, position_lifetime
from shared.settings import settings
from tests.analytics.factories import roll_up
from tests.reviews.test_scan_list import insert, nodes
from tests.support.callers import Staff
from tests.support.factories import AMSTERDAM, LISBON, make_code, make_org, make_player, submit_scan
from workers import cleanup
from workers.scans import judge_pending

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
VERDICTS = (
    ("success", None),
    ("failure", "cooldown"),
    ("annulled", None),
    ("held", "burst"),
    ("pending", None),
)


def clear(conn: Conn, limit: int = 1_000) -> int:
    limits = from_settings(settings())
    return positions.clear(conn, needed=position_lifetime(limits), max_age=limits.max_age, limit=limit)


def has_position(conn: Conn, scan_id: UUID) -> bool:
    row = exactly_one(
        conn.execute(
            "SELECT latitude, longitude, accuracy, position_cleared_at FROM player_scans WHERE id = %s", (scan_id,)
        )
    )
    stored = [value is not None for value in row]
    assert stored in ([True, True, True, False], [False, False, False, True])
    return stored[0]


def keep_for(conn: Conn, org_id: UUID, days: int | None, **fair_play: Any) -> None:
    conn.execute(
        "UPDATE organizations SET position_retention_days = %s, fair_play = %s WHERE id = %s",
        (days, json.dumps(fair_play) if fair_play else None, org_id),
    )


# By default, judging needs positions for 72 hours and the 18.5 of the longest journey: less than four days.
@pytest.mark.parametrize(
    ("days", "window_days", "stored_days", "cleared_days"),
    [
        (90, None, 89, 91),
        (30, None, 29, 31),
        (1, None, 3.7, 4),
        (1, 10, 12.9, 13.1),
        (30, 10, 29, 31),
        (None, None, 3_000, None),
        (None, 10, 3_000, None),
    ],
)
def test_positions_are_stored_until_their_retention_ends(
    conn: Conn, days: int | None, window_days: int | None, stored_days: float, cleared_days: float | None
) -> None:
    """Held and pending scans have their positions as long as they wait. Every other verdict is cleared."""
    org, player = make_org(conn), make_player(conn)
    window = {"identical_coordinates": {"players": 2, "window_seconds": window_days * 86_400}} if window_days else {}
    keep_for(conn, org, days, **window)
    code, elsewhere = make_code(conn, org), make_code(conn)
    ages = [age for age in (stored_days, cleared_days) if age is not None]
    scans = {
        (status, age): insert(conn, player, code, NOW - timedelta(days=age), status, reason)
        for status, reason in VERDICTS
        for age in ages
    }
    other = insert(conn, player, elsewhere, NOW - 89 * DAY)

    clear(conn)

    for (status, age), scan_id in scans.items():
        assert has_position(conn, scan_id) == (age == stored_days or status in ("held", "pending")), (status, age)
    assert has_position(conn, other)
    assert clear(conn) == 0


def test_scans_of_unknown_codes_have_the_default_retention(conn: Conn) -> None:
    player = make_player(conn)
    new, old = (submit_scan(conn, player, make_code(conn), AMSTERDAM, accuracy_m=5.0) for _ in range(2))
    judge_pending()
    conn.execute(
        "UPDATE player_scans SET qr_code_id = NULL, org_id = NULL, status = status, scan_time = now() - "
        "CASE WHEN id = %s THEN interval '89 days' ELSE interval '91 days' END",
        (new,),
    )
    clear(conn)
    assert (has_position(conn, new), has_position(conn, old)) == (True, False)


def test_a_released_scan_is_cleared_after_its_review(client: Any, conn: Conn, staff: Staff) -> None:
    held = insert(conn, make_player(conn), make_code(conn, staff.org_id), NOW - 100 * DAY, "held", "burst")
    assert clear(conn) == 0
    assert client.post(f"{staff.path}/scans/{held}/release", headers=staff.admin.headers).status_code == 200
    assert clear(conn) == 1
    assert not has_position(conn, held)


coordinates = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))


@given(
    limits=st.builds(
        JudgingLimits,
        st.timedeltas(timedelta(hours=1), 90 * DAY),
        st.floats(10, 1_000),
        st.floats(1, 1_000),
    ),
    here=coordinates,
    there=coordinates,
    older=st.timedeltas(timedelta(0), 400 * DAY),
    delay=st.floats(0, 1),
    fix_delay=st.timedeltas(timedelta(0), DAY),
)
def test_no_verdict_depends_on_a_position_past_its_lifetime(
    limits: JudgingLimits, here: Coordinates, there: Coordinates, older: timedelta, delay: float, fix_delay: timedelta
) -> None:
    """Whatever the limits: a scan that is not too late is never held for a fix that old."""
    at = NOW - position_lifetime(limits) - older
    fix = LocationFix(at, there, 5.0, min(NOW, at + fix_delay))
    scan = Scan(uuid4(), uuid4(), "code", None, NOW - delay * limits.max_age, NOW, here, 5.0)
    assert not leg_from(fix, scan, here, limits.max_accuracy_m).is_faster_than(limits.max_speed_mps)


def test_travel_is_judged_by_positions_within_their_lifetime(conn: Conn) -> None:
    """The scan arrives 71 hours late, and is held for a success just before it."""
    org, player = make_org(conn), make_player(conn)
    keep_for(conn, org, 1)
    insert(conn, player, make_code(conn, org), NOW - timedelta(hours=71, minutes=10))  # in Lisbon
    clear(conn)
    late = submit_scan(conn, player, make_code(conn, org, AMSTERDAM), AMSTERDAM, scanned_at=NOW - timedelta(hours=71))
    judge_pending()
    found = conn.execute("SELECT status, reason FROM player_scans WHERE id = %s", (late,)).fetchone()
    assert found == ("held", "impossible_travel")


def old_scans(conn: Conn, n: int) -> list[UUID]:
    code, player = make_code(conn), make_player(conn)
    return [insert(conn, player, code, NOW - (100 + k) * DAY) for k in range(n)]


def test_an_interrupted_run_is_continued(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker dies after its first batch."""
    scans = old_scans(conn, 5)
    monkeypatch.setattr(cleanup, "POSITIONS_BATCH_SIZE", 2)
    with monkeypatch.context() as killed:
        batches = iter([None])
        original = positions.clear

        def clear_once(*args: Any, **kwargs: Any) -> int:
            next(batches)
            return original(*args, **kwargs)

        killed.setattr(positions, "clear", clear_once)
        with pytest.raises(StopIteration):
            cleanup.purge_all()
    assert sum(has_position(conn, scan) for scan in scans) == 3

    assert cleanup.purge_all().positions == 3
    assert not any(has_position(conn, scan) for scan in scans)
    assert cleanup.purge_all().positions == 0


def test_two_runs_side_by_side_clear_each_position_once(conn: Conn) -> None:
    """And neither waits for a scan that another transaction has locked."""
    scans = old_scans(conn, 40)
    start = Barrier(4)

    def run() -> int:
        cleared = 0
        with db.connection() as own:
            start.wait()
            while batch := clear(own, limit=3):
                cleared += batch
        return cleared

    with db.transaction() as locking:
        locking.execute("SELECT FROM player_scans WHERE id = %s FOR UPDATE", (scans[0],))
        with ThreadPoolExecutor(4) as threads:
            counts = [each.result() for each in [threads.submit(run) for _ in range(4)]]
    assert sum(counts) == 39
    assert clear(conn) == 1


@pytest.mark.parametrize("many", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_batch_reads_only_what_it_clears(conn: Conn, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among many new positions, many old ones of an organization that keeps them, and many that were cleared."""
    due = old_scans(conn, 3)
    for days, cleared in ((0, False), (200, False), (300, True)):
        code, player = make_code(conn), make_player(conn)
        conn.execute("UPDATE organizations SET position_retention_days = NULL WHERE %s = 200", (days,))
        conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
        conn.execute(
            """
            INSERT INTO player_scans (player_id, qr_code_id, status, scan_time, settled_at, latitude, longitude,
                                      position_cleared_at)
            SELECT %(player)s, %(code)s, 'success', now() - make_interval(days => %(days)s), now(), position.degrees,
                   position.degrees, CASE WHEN %(cleared)s THEN now() END
            FROM generate_series(1, %(many)s), (SELECT CASE WHEN NOT %(cleared)s THEN 1 END) position (degrees)
            """,
            {"player": player, "code": code, "days": days, "cleared": cleared, "many": many // 3},
        )
        conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute(
        """
        UPDATE organizations SET position_retention_days = 90
        WHERE id = (SELECT org_id FROM player_scans WHERE id = %s)
        """,
        (due[0],),
    )
    conn.execute("VACUUM ANALYZE player_scans")
    explained: list[Any] = []

    class Explaining:
        def execute(self, statement: str, params: Any) -> Any:
            explained.append(exactly_one(conn.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, params))[0][0])
            return conn.execute("SELECT")

    clear(Explaining())  # type: ignore[arg-type]

    reads = [node for node in nodes(explained[0]["Plan"]) if node.get("Relation Name") == "player_scans"]
    read = sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in reads)
    assert read <= 4 * len(due)
    assert not any(has_position(conn, scan) for scan in due)


def test_nothing_else_changes(client: Any, conn: Conn, staff: Staff) -> None:
    """Statistics, timeline and the list stay as they are. The explanation says that the position was cleared."""
    player, code = make_player(conn), make_code(conn, staff.org_id, AMSTERDAM)
    scans = [insert(conn, player, code, NOW - 100 * DAY, status, reason) for status, reason in VERDICTS]
    roll_up()
    headers = staff.admin.headers
    counts = [f"{staff.path}/stats", f"{staff.path}/timeline?period=1y", f"{staff.codes}/{code}/stats"]
    explain = f"{staff.path}/scans/{scans[0]}/explain"

    def read() -> tuple[Any, ...]:
        without_time = [client.get(path, headers=headers).json | {"as_of": 0, "cache": 0} for path in counts]
        items = client.get(f"{staff.path}/scans?status=any", headers=headers).json["items"]
        hidden = {"latitude": None, "longitude": None, "accuracy": None}
        return without_time, [item | hidden for item in items], client.get(explain, headers=headers).json

    before, listed, explained = read()
    assert explained["position_cleared_at"] is None
    assert clear(conn) == 3

    after, listed_after, explained_after = read()
    assert (after, listed_after) == (before, listed)
    assert explained_after["position_cleared_at"] is not None
    inputs = {step["rule"]: step["inputs"] for step in explained_after["rules"]}
    assert inputs["location_required"] == {"requires_location": True, "position_given": True}
    assert inputs["not_present"]["distance_m"] == 7
    assert "accuracy_m" not in inputs["better_location_needed"]
    shown = {
        item["scan_id"]: item["latitude"]
        for item in client.get(f"{staff.path}/scans?status=any", headers=headers).json["items"]
    }
    assert {scan: latitude for scan, latitude in shown.items() if latitude is not None}.keys() == {
        str(scans[3]),
        str(scans[4]),
    }
    assert LISBON.latitude in shown.values()


def test_owners_set_the_retention(client: Any, staff: Staff) -> None:
    owner = staff.owner.headers
    assert client.get(staff.path, headers=staff.member.headers).json["position_retention_days"] == 90
    for days in (7, None, 3_650):
        changed = client.patch(staff.path, json={"position_retention_days": days}, headers=owner)
        assert (changed.status_code, changed.json["position_retention_days"]) == (200, days)
        (entry, *_) = client.get(f"{staff.path}/audit", headers=owner).json["items"]
        assert entry["new"] == {"position_retention_days": days}
    assert client.patch(staff.path, json={"name": "Museum"}, headers=owner).json["position_retention_days"] == 3_650
    for wrong in (0, -1, 3_651, 1.5, "7", True):
        response = client.patch(staff.path, json={"position_retention_days": wrong}, headers=owner)
        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == "body.position_retention_days"
    for role in ("admin", "analyst"):
        refused = client.patch(staff.path, json={"position_retention_days": None}, headers=staff[role].headers)
        assert refused.status_code == 403
