"""Races between reviews, and between a review and the worker that judges the same player."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.reviews import store
from tests.encounters.factories import answer, balance, make_puzzle
from tests.reviews.factories import hold, scan, status, use_count
from tests.support.callers import Staff, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import make_code, make_player


def review(app: Flask, staff: Staff, scan_id: UUID, action: str) -> int:
    url = f"{staff.path}/scans/{scan_id}/{action}"
    return int(app.test_client().post(url, headers=staff.admin.headers).status_code)


@pytest.mark.parametrize("action", ["release", "annul"])
def test_concurrent_reviews_take_effect_once(app: Flask, conn: Conn, staff: Staff, action: str) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    assert run_concurrently([lambda: review(app, staff, held, action)] * 20) == [200] * 20
    assert conn.execute("SELECT count(*) FROM events WHERE type = 'scan_reviewed'").fetchone() == (1,)
    assert (balance(conn, player), use_count(conn, code)) == ((1, 1) if action == "release" else (0, 0))


@pytest.mark.parametrize("n", range(5))
def test_concurrent_release_and_annulment_leave_no_reward(app: Flask, conn: Conn, staff: Staff, n: int) -> None:
    """A release before the annulment is reversed; a release after it is a conflict."""
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    released, annulled = run_concurrently(
        [lambda: review(app, staff, held, "release"), lambda: review(app, staff, held, "annul")]
    )
    assert annulled == 200
    assert released in (200, 409)
    assert (status(conn, held)[0], balance(conn, player), use_count(conn, code)) == ("annulled", 0, 0)
    entries = conn.execute("SELECT count(*) FROM inventory_ledger WHERE player_id = %s", (player,)).fetchone()
    assert entries == ((2,) if released == 200 else (0,))


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_lock_of_the_scan_serializes_annulments(
    app: Flask, conn: Conn, staff: Staff, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock both read a success, and both subtract its use."""
    code = make_code(conn, staff.org_id, reward_item=None, reward_quantity=None)
    scan(conn, make_player(conn), code)
    won = scan(conn, make_player(conn), code)
    lock, meeting = store.lock, Rendezvous(0.3 if guarded else 10)

    def read_and_meet(conn: Conn, org_id: UUID, scan_id: UUID) -> Any:
        scan = (lock if guarded else store.find)(conn, org_id, scan_id)
        meeting.wait()
        return scan

    monkeypatch.setattr(store, "lock", read_and_meet)
    run_concurrently([lambda: review(app, staff, won, "annul")] * 2)
    assert use_count(conn, code) == (1 if guarded else 0)


@pytest.mark.parametrize("n", range(3))
def test_concurrent_solution_and_annulment_leave_no_reward(app: Flask, conn: Conn, staff: Staff, n: int) -> None:
    ada = sign_in(app, conn)
    code, puzzle = make_puzzle(conn, staff.org_id)
    opened = scan(conn, ada.id, code)
    solved, annulled = run_concurrently(
        [lambda: answer(app.test_client(), ada, puzzle).status_code, lambda: review(app, staff, opened, "annul")]
    )
    assert (annulled, balance(conn, ada.id)) == (200, 0)
    assert solved in (200, 403)
    # A solution before the annulment is paid and reversed; after it, the puzzle is locked.
    entries = conn.execute("SELECT quantity FROM inventory_ledger ORDER BY id").fetchall()
    assert entries == ([(1,), (-1,)] if solved == 200 else [])


def test_use_freed_by_an_annulment_is_used_once(app: Flask, conn: Conn, staff: Staff) -> None:
    """A worker judges the player's next scan during the annulment. Stock and limit hold in either order."""
    player, code = make_player(conn), make_code(conn, staff.org_id, max_scans=1)
    won = scan(conn, player, code)
    run_concurrently([lambda: review(app, staff, won, "annul"), lambda: scan_on_own_connection(player, code)])
    successes = conn.execute("SELECT count(*) FROM player_scans WHERE status IN ('success', 'held')").fetchone()
    assert successes == (use_count(conn, code),)
    assert balance(conn, player) == use_count(conn, code) <= 1


def scan_on_own_connection(player: UUID, code: UUID) -> int:
    with db.connection() as conn:
        scan(conn, player, code)
    return 200
