"""Races between workers that judge the same player or code, each guard with a negative control."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra import db, leases
from shared.infra.db import Conn
from shared.scans import judging_queries, rules, settlement
from shared.scans.judging_limits import from_settings
from shared.scans.rules import Verdict
from shared.scans.settlement import PENDING_SCANS
from shared.settings import settings
from tests.support.factories import (
    AMSTERDAM,
    LISBON,
    make_code,
    make_org,
    make_player,
    submit_scan,
)
from tests.support.sql_guards import without_guards
from workers import scans as worker

LEASE = timedelta(seconds=10)


def statuses(conn: Conn) -> Counter[tuple[str, str | None]]:
    return Counter(conn.execute("SELECT status, reason FROM player_scans").fetchall())


def settle_one_by_one(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Settle scans in concurrent workers that start together, each with one scan at a time."""
    monkeypatch.setattr(worker.scans, "batch_size", 1)
    start = threading.Barrier(workers)

    def work() -> None:
        start.wait()
        while worker.scans.run_new():
            pass

    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(work) for _ in range(workers)]:
            future.result()


def test_concurrent_workers_give_the_last_item_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    code = make_code(conn, max_scans=1)
    for _ in range(100):
        submit_scan(conn, make_player(conn), code)
    settle_one_by_one(monkeypatch, 8)
    assert statuses(conn) == {("success", None): 1, ("failure", "sold_out"): 99}
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (1,)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_stock_set_during_judging_holds(conn: Conn, monkeypatch: pytest.MonkeyPatch, guarded: bool) -> None:
    code = make_code(conn)
    for _ in range(3):
        submit_scan(conn, make_player(conn), code)
    judge = rules.judge_all

    def set_stock_and_judge(*args: Any) -> dict[UUID, Verdict]:
        conn.execute("UPDATE qr_codes SET max_scans = 1 WHERE id = %s", (code,))
        return judge(*args)

    with without_guards(conn, *([] if guarded else ["is_in_stock"])):
        for decide in (set_stock_and_judge, judge):
            monkeypatch.setattr(rules, "judge_all", decide)
            worker.scans.run_new()
    assert statuses(conn)["success", None] == (1 if guarded else 3)


def test_concurrent_workers_reward_one_player_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    code, player = make_code(conn, cooldown_seconds=60), make_player(conn)
    for _ in range(30):
        submit_scan(conn, player, code)
    settle_one_by_one(monkeypatch, 8)
    assert statuses(conn) == {("success", None): 1, ("failure", "player_limit"): 29}


def interleave(conn: Conn, first: UUID, second: UUID) -> None:
    """Run two workers with one scan each. The second loads its context before the first one settles."""
    done = threading.Event()
    tokens = [uuid4(), uuid4()]
    claimed = {token: leases.claim_new(conn, PENDING_SCANS, token, LEASE, limit=1) for token in tokens}
    assert {claimed[token][0].id for token in tokens} == {first, second}

    def settle(token: UUID, before_judging: Any) -> None:
        limits = from_settings(settings())
        with db.transaction() as own:
            locked, context = judging_queries.lock_and_read(own, token, claimed[token], limits)
            before_judging()
            settlement.settle(own, locked, rules.judge_all(locked, context, limits), has_quests=False)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        other = None

        def start_other() -> None:
            nonlocal other
            other = pool.submit(settle, tokens[1], lambda: None)
            until_settled_or_blocked(conn, done)

        settle(tokens[0], start_other)
        assert other is not None
        other.result(timeout=30)


def until_settled_or_blocked(conn: Conn, done: threading.Event) -> None:
    """Return once the other worker has committed or waits for a lock."""
    while not done.wait(0.005):
        waiting = conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        if waiting != (0,):
            return


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_lock_of_the_code_guards_its_stock(conn: Conn, guarded: bool) -> None:
    code = make_code(conn, max_scans=1)
    scans = [submit_scan(conn, make_player(conn), code) for _ in range(2)]
    with without_guards(conn, *([] if guarded else ["lock_limited_codes", "is_in_stock"])):
        interleave(conn, *scans)
    assert statuses(conn)["success", None] == (1 if guarded else 2)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_lock_of_the_player_guards_travel(conn: Conn, guarded: bool) -> None:
    org, player = make_org(conn), make_player(conn)
    scans = [submit_scan(conn, player, make_code(conn, org), coordinates) for coordinates in (AMSTERDAM, LISBON)]
    with without_guards(conn, *([] if guarded else ["lock_players"])):
        interleave(conn, *scans)
    assert statuses(conn)["success", None] == (1 if guarded else 2)
