"""Judging and settling in PostgreSQL: once each, under races and after interruptions."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.infra import leases
from shared.infra.db import Conn
from shared.infra.leases import LeaseLost
from shared.scans import judging_queries, rules, settlement, store
from shared.scans.rules import Scan, Verdict
from shared.scans.settlement import PENDING_SCANS
from tests.support.crashes import Crash, crash_after
from tests.support.factories import (
    AMSTERDAM,
    LISBON,
    SIX_KILOMETERS_OFF,
    list_items,
    make_code,
    make_encounter,
    make_org,
    make_player,
    submit_scan,
)
from workers import scans as worker

LEASE = timedelta(seconds=10)
NOW = datetime.now(UTC)


def statuses(conn: Conn) -> Counter[tuple[str, str | None]]:
    return Counter(conn.execute("SELECT status, reason FROM player_scans").fetchall())


def verdict(conn: Conn, scan_id: UUID) -> tuple[str, str | None]:
    scan = store.find(conn, scan_id)
    assert scan is not None
    return scan.status, scan.reason


def event_types(conn: Conn) -> Counter[str]:
    return Counter(row[0] for row in conn.execute("SELECT type FROM events"))


def test_judging_pays_rewards_and_records_events(conn: Conn) -> None:
    org = make_org(conn)
    drop = make_code(conn, org, AMSTERDAM, reward_quantity=3)
    player = make_player(conn)
    inside = submit_scan(conn, player, drop, AMSTERDAM)
    outside = submit_scan(conn, make_player(conn), drop, SIX_KILOMETERS_OFF)
    unknown = store.accept(conn, store.NewScan(player, "no-such-code"))

    worker.judge_pending()

    assert verdict(conn, inside) == ("success", None)
    assert verdict(conn, outside) == ("failure", "not_present")
    assert verdict(conn, unknown) == ("failure", "unknown_code")
    assert list_items(conn, player) == [("gem", 3)]
    assert event_types(conn) == {"qr_scan": 3, "scan_result": 3, "reward_granted": 1}
    assert conn.execute("SELECT use_count FROM qr_codes WHERE id = %s", (drop,)).fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM events WHERE org_id = %s", (org,)).fetchone() == (5,)


def test_judging_again_changes_nothing(conn: Conn) -> None:
    submit_scan(conn, make_player(conn), make_code(conn))
    worker.judge_pending()
    before = conn.execute("SELECT * FROM player_scans").fetchall(), event_types(conn)
    worker.judge_pending()
    assert (conn.execute("SELECT * FROM player_scans").fetchall(), event_types(conn)) == before


def test_outcome_of_an_encounter_has_no_solution(conn: Conn) -> None:
    code = make_code(conn, scan_type="encounter")
    encounter = make_encounter(conn, code, {"cipher": "bcd"})
    player = make_player(conn)
    scan = store.find(conn, submit_scan(conn, player, code))
    worker.judge_pending()
    scan = store.find(conn, scan.scan_id) if scan else None
    assert scan is not None
    puzzle = {"id": str(encounter), "puzzle_type": "decryption", "difficulty_level": 3, "data": {"cipher": "bcd"}}
    assert scan.outcome == {"encounter": puzzle}
    assert list_items(conn, player) == []


def test_transportation_sets_the_location_of_the_player(conn: Conn) -> None:
    org = make_org(conn)
    make_code(conn, org, code="port", description="The old harbour")
    code = make_code(conn, org, scan_type="transportation", destination_code="port")
    conn.execute("UPDATE qr_codes SET code = 'harbour' WHERE code = 'port'")
    player = make_player(conn)
    scan_id = submit_scan(conn, player, code)
    worker.judge_pending()
    scan = store.find(conn, scan_id)
    assert scan is not None
    assert scan.outcome == {"destination": {"code": "harbour", "description": "The old harbour"}}
    assert conn.execute("SELECT location_code FROM players WHERE id = %s", (player,)).fetchone() == ("harbour",)


def test_held_scan_pays_nothing_and_uses_no_stock(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    first = submit_scan(conn, player, make_code(conn, org), AMSTERDAM)
    code = make_code(conn, org, max_scans=1)
    held = submit_scan(conn, player, code, LISBON)
    worker.judge_pending()
    late = submit_scan(conn, make_player(conn), code)
    worker.judge_pending()
    assert verdict(conn, first) == ("success", None)
    assert verdict(conn, held) == ("held", "impossible_travel")
    assert verdict(conn, late) == ("success", None)
    assert list_items(conn, player) == [("gem", 1)]


@pytest.mark.parametrize(
    ("fields", "apart", "expected"),
    [
        ({"per_player_limit": 2}, timedelta(), ["success", "success", "player_limit"]),
        ({"per_player_limit": None, "cooldown_seconds": 60}, timedelta(seconds=30), ["success", "cooldown", "success"]),
        ({"per_player_limit": None, "max_scans": 2}, timedelta(), ["success", "success", "sold_out"]),
        ({"per_player_limit": None}, timedelta(), ["success", "success", "success"]),
    ],
)
def test_limits_hold_between_batches(conn: Conn, fields: dict[str, Any], apart: timedelta, expected: list[str]) -> None:
    code, player = make_code(conn, **fields), make_player(conn)
    results = []
    for k in range(3):
        at = NOW - timedelta(hours=1) + k * apart
        scan_id = submit_scan(conn, player, code, scanned_at=at, nonce=str(k))
        conn.execute("UPDATE player_scans SET received_at = scan_time WHERE id = %s", (scan_id,))
        worker.judge_pending()
        status, reason = verdict(conn, scan_id)
        results.append(reason or status)
    assert results == expected


def test_scans_dated_back_do_not_shorten_a_cooldown(conn: Conn) -> None:
    code, player = make_code(conn, per_player_limit=None, cooldown_seconds=3600), make_player(conn)
    for k in range(5):
        submit_scan(conn, player, code, scanned_at=NOW - timedelta(hours=k))
        worker.judge_pending()
    assert statuses(conn) == {("success", None): 1, ("failure", "cooldown"): 4}


def test_code_deleted_before_judging_is_unknown(conn: Conn) -> None:
    code = make_code(conn)
    scan_id = submit_scan(conn, make_player(conn), code)
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (code,))
    worker.judge_pending()
    assert verdict(conn, scan_id) == ("failure", "unknown_code")


# Interruptions ------------------------------------------------------------------------------------------------------


def expire_leases(conn: Conn) -> None:
    conn.execute("UPDATE player_scans SET lease_until = now() WHERE status = 'pending' AND lease_until IS NOT NULL")


def test_worker_with_an_expired_lease_writes_nothing(conn: Conn) -> None:
    player, code = make_player(conn), make_code(conn)
    scan_id = submit_scan(conn, player, code)
    expired, current = uuid4(), uuid4()
    claimed = leases.claim_new(conn, PENDING_SCANS, expired, LEASE, limit=10)
    # The first worker was halted for longer than its lease.
    expire_leases(conn)
    assert [scan.id for scan in leases.claim_retry(conn, PENDING_SCANS, current, LEASE)] == [scan_id]

    with pytest.raises(LeaseLost):
        worker.judge(expired, claimed)
    assert verdict(conn, scan_id) == ("pending", None)
    worker.judge(current, claimed)
    assert verdict(conn, scan_id) == ("success", None)
    with pytest.raises(LeaseLost):
        worker.judge(expired, claimed)
    assert list_items(conn, player) == [("gem", 1)]


@pytest.mark.parametrize("error", [SystemExit, ZeroDivisionError], ids=["kills its worker", "fails"])
def test_scan_that_stops_its_worker_is_dead_lettered(
    conn: Conn, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    code = make_code(conn, per_player_limit=None)
    scans = [submit_scan(conn, make_player(conn), code) for _ in range(10)]
    judge_all = rules.judge_all
    attempts = []

    def judge(batch: list[Scan], *rest: Any) -> dict[UUID, Verdict]:
        if scans[4] in {scan.id for scan in batch}:
            attempts.append(len(batch))
            raise error
        return judge_all(batch, *rest)

    monkeypatch.setattr(rules, "judge_all", judge)
    while statuses(conn)["pending", None]:
        with suppress(SystemExit):
            worker.judge_pending()
        expire_leases(conn)

    assert attempts == [10, 1, 1]
    assert verdict(conn, scans[4]) == ("failure", "not_judged")
    assert statuses(conn) == {("success", None): 9, ("failure", "not_judged"): 1}


def test_scan_whose_context_cannot_be_read_is_dead_lettered(conn: Conn) -> None:
    """As with rules of fair play that a database client has written."""
    unreadable, other = make_org(conn), make_org(conn)
    fair_play = '{"burst": {"window_seconds": "a minute"}}'
    conn.execute("UPDATE organizations SET fair_play = %s WHERE id = %s", (fair_play, unreadable))
    for org in (unreadable, other):
        submit_scan(conn, make_player(conn), make_code(conn, org))
    for _ in range(4):
        worker.judge_pending()
        expire_leases(conn)
    assert statuses(conn) == {("success", None): 1, ("failure", "not_judged"): 1}


def test_lock_timeout_costs_no_attempt(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_scan(conn, make_player(conn), make_code(conn))

    def time_out(*_: Any) -> None:
        raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")

    with monkeypatch.context() as broken:
        broken.setattr(judging_queries, "lock_and_read", time_out)
        with pytest.raises(psycopg.OperationalError):
            worker.judge_pending()
    assert conn.execute("SELECT attempts, lease_until FROM player_scans").fetchone() == (0, None)
    worker.judge_pending()
    assert statuses(conn) == {("success", None): 1}


def test_crash_during_settling_leaves_scan_and_ledger_unchanged(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_scan(conn, make_player(conn), make_code(conn))

    with monkeypatch.context() as broken:
        crash_after(broken, settlement, "settle")
        with pytest.raises(Crash):
            worker.judge_pending()
    assert statuses(conn) == {("pending", None): 1}
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (0,)


# Accepting ----------------------------------------------------------------------------------------------------------


def test_second_reward_for_one_scan_violates_the_constraint(conn: Conn) -> None:
    scan_id = submit_scan(conn, make_player(conn), make_code(conn))
    worker.judge_pending()
    with pytest.raises(psycopg.errors.UniqueViolation) as violation:
        settlement.grant_rewards(conn, [scan_id])
    assert violation.value.diag.constraint_name == "inventory_ledger_source_key"


def test_scan_time_is_never_later_than_the_time_of_receipt(conn: Conn) -> None:
    scan_id = submit_scan(conn, make_player(conn), make_code(conn), scanned_at=NOW + timedelta(days=1))
    scan = store.find(conn, scan_id)
    assert scan is not None
    assert scan.scan_time == scan.received_at
    assert conn.execute("SELECT client_time FROM player_scans").fetchone() == (NOW + timedelta(days=1),)
