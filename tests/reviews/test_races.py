"""Reviews that race: with each other, and with the worker that judges the same player."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.reviews import store
from tests.encounters.factories import answer, balance, make_puzzle
from tests.reviews.factories import hold, scan, status, taken
from tests.support.callers import Staff, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import make_code, make_player


def ask(app: Flask, staff: Staff, scan_id: UUID, action: str) -> int:
    url = f"{staff.path}/scans/{scan_id}/{action}"
    return int(app.test_client().post(url, headers=staff.admin.headers).status_code)


@pytest.mark.parametrize("action", ["release", "annul"])
def test_twenty_at_once_do_it_once(app: Flask, conn: Conn, staff: Staff, action: str) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    assert run_concurrently([lambda: ask(app, staff, held, action)] * 20) == [200] * 20
    counted = "SELECT count(*) FROM events WHERE type = 'scan_reviewed'"
    assert conn.execute(counted).fetchone() == (1,)
    assert (balance(conn, player), taken(conn, code)) == ((1, 1) if action == "release" else (0, 0))


@pytest.mark.parametrize("n", range(5))
def test_release_and_annul_at_once(app: Flask, conn: Conn, staff: Staff, n: int) -> None:
    """Whichever comes first, nothing is left: a release before an annulment is undone, after it is refused."""
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    released, annulled = run_concurrently(
        [lambda: ask(app, staff, held, "release"), lambda: ask(app, staff, held, "annul")]
    )
    assert annulled == 200
    assert released in (200, 409)
    assert (status(conn, held)[0], balance(conn, player), taken(conn, code)) == ("annulled", 0, 0)
    entries = conn.execute("SELECT count(*) FROM inventory_ledger WHERE player_id = %s", (player,)).fetchone()
    assert entries == ((2,) if released == 200 else (0,))


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_annulments_are_kept_apart_by_the_scans_lock(
    app: Flask, conn: Conn, staff: Staff, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that have both read the scan as it was: without the lock both give its place back."""
    code = make_code(conn, staff.org_id)
    scan(conn, make_player(conn), code)
    held = hold(conn, make_player(conn), code, staff.org_id)
    lock, meeting = store.lock, Rendezvous(0.3 if guarded else 10)

    def read_and_meet(conn: Conn, org_id: UUID, scan_id: UUID) -> Any:
        found = (lock if guarded else store.find)(conn, org_id, scan_id)
        meeting.wait()
        return found

    monkeypatch.setattr(store, "lock", read_and_meet)
    run_concurrently([lambda: ask(app, staff, held, "annul")] * 2)
    assert taken(conn, code) == (1 if guarded else 0)


@pytest.mark.parametrize("n", range(3))
def test_a_solution_and_an_annulment_at_once(app: Flask, conn: Conn, staff: Staff, n: int) -> None:
    ada = sign_in(app, conn)
    code, puzzle = make_puzzle(conn, staff.org_id)
    opened = scan(conn, ada.id, code)
    solved, annulled = run_concurrently(
        [lambda: answer(app.test_client(), ada, puzzle).status_code, lambda: ask(app, staff, opened, "annul")]
    )
    assert (annulled, balance(conn, ada.id)) == (200, 0)
    assert solved in (200, 403)


def test_a_place_that_is_given_back_is_taken_once(app: Flask, conn: Conn, staff: Staff) -> None:
    """A worker judges the player's next scan while the one before is annulled: limits hold either way."""
    player, code = make_player(conn), make_code(conn, staff.org_id, max_scans=1)
    won = scan(conn, player, code)
    run_concurrently([lambda: ask(app, staff, won, "annul"), lambda: scan_in_own(player, code)])
    counted = conn.execute("SELECT count(*) FROM player_scans WHERE status IN ('success', 'held')").fetchone()
    assert counted == (taken(conn, code),)
    assert balance(conn, player) == taken(conn, code)


def scan_in_own(player: UUID, code: UUID) -> int:
    with db.connection() as conn:
        scan(conn, player, code)
    return 200
