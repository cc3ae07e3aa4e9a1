"""Rollups equal the raw counts, also with concurrent changes."""

from datetime import timedelta
from typing import Any

import pytest

from shared.analytics import rollup
from shared.infra import db, event_log
from shared.infra.db import Conn
from shared.infra.event_log import ROLLUPS
from shared.scans.rules import REASONS
from shared.scans.store import NewScan, accept
from tests.analytics.expected_rollups import counted, rolled_up
from tests.analytics.factories import NOON, correct, rebuild_all, roll_up, settle, visit
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import (
    append_event,
    code_text,
    make_code,
    make_org,
    make_player,
    number_events,
    submit_scan,
)
from workers import analytics, scans

STATUSES = ("success", "failure", "held", "annulled")


def assert_all_counted(conn: Conn) -> None:
    roll_up()
    assert rolled_up(conn) == counted(conn)


def test_settled_scans_are_rolled_up(conn: Conn) -> None:
    code, player = make_code(conn), make_player(conn)
    for _ in range(3):
        accept(conn, NewScan(player, code_text(conn, code)), device="phone")
    scans.judge_pending()

    assert_all_counted(conn)

    (row,) = conn.execute(
        "SELECT count, success, unique_players, phone FROM scan_rollup_daily WHERE subject_id = %s", (code,)
    )
    assert row == (3, 1, 1, 3)
    assert conn.execute("SELECT DISTINCT reason, count FROM scan_rollup_daily_reasons").fetchall() == [
        ("player_limit", 2)
    ]


def test_every_status_and_every_reason_is_counted(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    code = make_code(conn, org)
    for status in STATUSES:
        settle(conn, player, code, status)
    for reason in REASONS:
        settle(conn, player, code, "failure", reason=reason)

    assert_all_counted(conn)


def test_running_again_changes_nothing(conn: Conn) -> None:
    settle(conn, make_player(conn), make_code(conn))
    for _ in range(3):
        assert_all_counted(conn)


def test_a_scan_without_a_code_is_not_counted(conn: Conn) -> None:
    settle(conn, make_player(conn), None, "failure", reason="unknown_code")
    roll_up()
    assert not any(rolled_up(conn).values())


def test_a_pending_scan_does_not_count_yet(conn: Conn) -> None:
    submit_scan(conn, make_player(conn), make_code(conn))
    roll_up()
    assert not any(rolled_up(conn).values())


@pytest.mark.parametrize(("first", "then"), [("held", "success"), ("held", "annulled"), ("success", "annulled")])
@pytest.mark.parametrize("folded_between", [True, False])
def test_a_review_moves_a_scan_between_the_counts(conn: Conn, first: str, then: str, folded_between: bool) -> None:
    code, player = make_code(conn), make_player(conn)
    scan = settle(conn, player, code, first)
    if folded_between:
        roll_up()
    correct(conn, scan, then)

    assert_all_counted(conn)

    row = conn.execute(
        "SELECT count, success, unique_players FROM scan_rollup_daily WHERE subject_id = %s", (code,)
    ).fetchone()
    assert row == (1, int(then == "success"), 1)


def test_events_without_a_scan_are_ignored(conn: Conn) -> None:
    player = make_player(conn)
    append_event(conn, "scan_result", player)
    append_event(conn, "scan_result", player, scan_id="x")
    append_event(conn, "scan_result", player, scan_id=str(player), status="success")
    settle(conn, player, make_code(conn))

    assert_all_counted(conn)


@pytest.mark.parametrize("at", ["0001-06-01Z", "9998-06-01Z"])
def test_a_scan_outside_of_the_counted_days_is_ignored(conn: Conn, at: Any) -> None:
    settle(conn, make_player(conn), make_code(conn), at=at)
    roll_up()
    rebuild_all(conn)
    assert not any(rolled_up(conn).values())


def test_events_of_a_late_commit_are_rolled_up(conn: Conn) -> None:
    """Its events have lower ids than those that were rolled up before its commit."""
    code, player = make_code(conn), make_player(conn)
    with db.dedicated_connection() as late:
        with late.transaction():
            settle(late, player, code)
            visit(late, code)
            settle(conn, player, code)
            visit(conn, code)
            roll_up()
        assert_all_counted(conn)


def test_concurrent_rollups_count_each_event_once(conn: Conn) -> None:
    code, player = make_code(conn), make_player(conn)
    for _ in range(20):
        settle(conn, player, code)
    run_concurrently([roll_up] * 6)
    assert_all_counted(conn)


def test_negative_control_without_the_lock_events_count_twice(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(conn, make_player(conn), make_code(conn))
    number_events()
    both_read = Rendezvous(patience=2)
    read_mark = event_log.load_position

    def read(conn: Conn, name: str) -> int:
        found = read_mark(conn, name)
        if name == ROLLUPS:
            both_read.wait()
        return found

    monkeypatch.setattr(event_log, "try_lock_positions", lambda _conn: True)
    monkeypatch.setattr(event_log, "load_position", read)
    run_concurrently([analytics.roll_up_batch] * 2)
    monkeypatch.undo()
    assert rolled_up(conn) != counted(conn)


def test_a_rollup_blocks_neither_settling_nor_reading(conn: Conn) -> None:
    code, player = make_code(conn), make_player(conn)
    settle(conn, player, code)
    with db.dedicated_connection() as folder, folder.transaction():
        number_events()
        assert event_log.try_lock_positions(folder)
        rollup.roll_up_scans(folder, limit=100)
        conn.execute("SET lock_timeout = '1s'")
        settle(conn, player, code)
        submit_scan(conn, player, code)
        scans.judge_pending()
        conn.execute("RESET lock_timeout")
    assert_all_counted(conn)


def test_a_rollup_works_in_batches(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "BATCH", 2)
    code, player = make_code(conn), make_player(conn)
    for k in range(7):
        settle(conn, player, code, at=NOON + k * timedelta(hours=9))
        visit(conn, code)
    assert_all_counted(conn)


def test_a_failed_batch_changes_nothing(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(conn, make_player(conn), make_code(conn))
    with monkeypatch.context() as broken:
        broken.setattr(event_log, "save_position", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            roll_up()
    assert not any(rolled_up(conn).values())
    assert_all_counted(conn)
