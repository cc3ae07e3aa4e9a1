"""Races and crashes of requests that answer one puzzle."""

from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.encounters import store
from shared.infra.db import Conn
from tests.encounters.factories import RIGHT, WRONG, answer, balance, make_puzzle, open_puzzle
from tests.support.callers import SignedInPlayer, sign_in
from tests.support.concurrency import run_concurrently
from tests.support.crashes import Crash, crash_after
from tests.support.factories import issuer_of


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn)


def guess(encounter_id: UUID, player: SignedInPlayer, app: Flask, text: str) -> tuple[int, Any]:
    response = answer(app.test_client(), player, encounter_id, text)
    return response.status_code, response.json


def read_without_lock(conn: Conn, encounter_id: UUID, player_id: UUID) -> list[UUID]:
    rows = conn.execute("SELECT id FROM player_scans WHERE player_id = %s AND status = 'success'", (player_id,))
    return [row[0] for row in rows]


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_concurrent_wrong_answers_stop_at_the_limit(
    app: Flask, conn: Conn, ada: SignedInPlayer, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock of the scan, each request reads the attempts before any other writes."""
    code, puzzle = make_puzzle(conn, max_attempts=3)
    open_puzzle(conn, ada, code)
    if not guarded:
        monkeypatch.setattr(store, "lock_scans", read_without_lock)
        meet_before(monkeypatch, "record_wrong_answer", 5)

    results = run_concurrently([lambda: guess(puzzle, ada, app, WRONG)] * (50 if guarded else 5))

    wrong = sorted(body["attempts_left"] for status, body in results if status == 200)
    if guarded:
        assert wrong == [0, 1, 2]
        assert [status for status, _ in results].count(409) == 47
        assert conn.execute("SELECT wrong_answers FROM encounter_attempts").fetchone() == (3,)
    else:
        assert wrong == [2] * 5
    assert answer(app.test_client(), ada, puzzle, RIGHT).status_code == 409


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_concurrent_right_answers_are_paid_once(
    app: Flask, conn: Conn, ada: SignedInPlayer, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, puzzle = make_puzzle(conn)
    open_puzzle(conn, ada, code)
    if not guarded:
        monkeypatch.setattr(store, "lock_scans", read_without_lock)
        meet_before(monkeypatch, "record_solution", 5)
        conn.execute("ALTER TABLE inventory_ledger DROP CONSTRAINT inventory_ledger_source_key")
    try:
        results = run_concurrently([lambda: guess(puzzle, ada, app, RIGHT)] * (30 if guarded else 5))
    finally:
        if not guarded:
            paid = balance(conn, ada.id)
            conn.execute("DELETE FROM inventory_ledger")
            conn.execute(
                "ALTER TABLE inventory_ledger ADD CONSTRAINT inventory_ledger_source_key UNIQUE (source, source_id)"
            )
    if guarded:
        solved = {"solved": True, "reward": "gem", "quantity": 1, "org_id": issuer_of(conn, code)}
        assert results == [(200, solved)] * 30
        assert balance(conn, ada.id) == 1
    else:
        assert paid == 5


def meet_before(monkeypatch: pytest.MonkeyPatch, name: str, n: int) -> None:
    """Let `n` requests reach a function of the store before any of them runs it."""
    barrier, run = Barrier(n), getattr(store, name)

    def enter(*args: Any) -> Any:
        barrier.wait(10)
        return run(*args)

    monkeypatch.setattr(store, name, enter)


def test_crash_before_the_commit_pays_nothing(
    client: Any, conn: Conn, ada: SignedInPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, puzzle = make_puzzle(conn, max_attempts=1)
    open_puzzle(conn, ada, code)

    with monkeypatch.context() as broken:
        crash_after(broken, store, "record_solution")
        with pytest.raises(Crash):
            answer(client, ada, puzzle)
    assert balance(conn, ada.id) == 0
    assert answer(client, ada, puzzle).json["solved"] is True
    assert balance(conn, ada.id) == 1
