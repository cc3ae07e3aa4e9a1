"""Codes that several transactions lock at once: none waits for another that waits for it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from psycopg.errors import DeadlockDetected

from shared.codes import store
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.timestamps import format_rfc3339
from shared.scans import batches, settlement
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import code_text, make_code, make_player, submit_scan
from workers import scans as worker

PLENTIFUL, LIMITED = UUID(int=1), UUID(int=2)
"""Two codes. The one with a stock has the higher id."""
IDS = [str(PLENTIFUL), str(LIMITED)]


def lock_by_id(conn: Conn, org_id: UUID, *qr_ids: UUID) -> None:
    conn.execute("SELECT FROM qr_codes WHERE id = ANY (%s) ORDER BY id FOR NO KEY UPDATE", (list(qr_ids),))


def change(app: Flask, staff: Staff) -> int:
    body = {"ids": IDS, "add_tags": ["new"]}
    return int(app.test_client().patch(staff.codes, json=body, headers=staff.admin.headers).status_code)


def delete(app: Flask, staff: Staff) -> int:
    return int(app.test_client().delete(staff.codes, json={"ids": IDS}, headers=staff.admin.headers).status_code)


def send_batch(app: Flask, staff: Staff, *code_texts: str) -> int:
    at = format_rfc3339(datetime.now(UTC))
    item = {"player_id": str(staff.stranger.id), "scanned_at": at}
    scans = [item | {"qr_code": text, "nonce": str(turn)} for turn, text in enumerate(code_texts)]
    body = {"sent_at": at, "scans": scans}
    return int(app.test_client().post("/scans/batch", json=body, headers=staff.stranger.headers).status_code)


@pytest.mark.parametrize("request_", [change, delete])
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_many_codes_change_while_a_worker_settles_their_scans(
    app: Flask,
    conn: Conn,
    staff: Staff,
    monkeypatch: pytest.MonkeyPatch,
    request_: Callable[[Flask, Staff], int],
    guarded: bool,
) -> None:
    """The worker has locked the code with a stock when the request starts, and counts the uses of both afterwards.

    With locks in the order of ids, PostgreSQL ends one of the transactions.
    """
    for qr_id, max_scans in ((PLENTIFUL, None), (LIMITED, 9)):
        submit_scan(conn, make_player(conn), make_code(conn, staff.org_id, id=qr_id, max_scans=max_scans))
    if not guarded:
        monkeypatch.setattr(store, "lock", lock_by_id)
    settle = settlement.settle

    with ThreadPoolExecutor(1) as thread:

        def start_request_and_settle(*args: Any, **kwargs: Any) -> Any:
            # The worker is in a pipeline: its locks are taken when the context has arrived.
            requests.append(thread.submit(request_, app, staff))
            wait_until_blocked(conn)
            return settle(*args, **kwargs)

        requests: list[Any] = []
        monkeypatch.setattr(settlement, "settle", start_request_and_settle)
        try:
            worker.scans.run_new()
            judged = True
        except DeadlockDetected:
            judged = False
        answered = requests[0].result()

    assert (judged and answered == 200) is guarded


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_many_codes_are_deleted_while_a_batch_of_their_scans_arrives(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The deletion has locked one code and waits for the other, which comes first in the batch."""
    for qr_id in (PLENTIFUL, LIMITED):
        make_code(conn, staff.org_id, id=qr_id)
    if not guarded:
        unlocked = batches.INSERT_SCANS.replace("ORDER BY q.id FOR KEY SHARE OF q", "")
        monkeypatch.setattr(batches, "INSERT_SCANS", unlocked)
    with ThreadPoolExecutor(2) as threads:
        with db.transaction() as own:
            own.execute("SELECT FROM qr_codes WHERE id = %s FOR KEY SHARE", (LIMITED,))
            deletion = threads.submit(delete, app, staff)
            wait_until_blocked(conn)
            batch = threads.submit(send_batch, app, staff, code_text(conn, LIMITED), code_text(conn, PLENTIFUL))
            wait_until_blocked(conn, sessions=2)
        statuses = (batch.result(), deletion.result())
    assert (statuses == (202, 200)) is guarded
    assert (503 in statuses) is not guarded


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_a_stock_is_set_while_two_workers_settle_scans(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The first worker has locked no code, because none had a stock. The second locks the code with the new stock."""
    for qr_id in (PLENTIFUL, LIMITED):
        make_code(conn, staff.org_id, id=qr_id)
    for qr_id in (PLENTIFUL, LIMITED) * 2:
        submit_scan(conn, make_player(conn), qr_id)
    settle, second_may_settle = settlement.settle, threading.Event()
    results: list[Future[int]] = []

    with ThreadPoolExecutor(1) as thread, changed_order(conn, by_id=not guarded):

        def settle_after_the_other_has_locked(*args: Any, **kwargs: Any) -> Any:
            if not results:
                response = app.test_client().patch(
                    f"{staff.codes}/{LIMITED}", json={"max_scans": 9}, headers=staff.admin.headers
                )
                assert response.status_code == 200
                results.append(thread.submit(worker.scans.run_new))
                assert second_may_settle.wait(30)
                return settle(*args, **kwargs)
            second_may_settle.set()
            wait_until_blocked(conn)
            return settle(*args, **kwargs)

        monkeypatch.setattr(worker.scans, "batch_size", 2)
        monkeypatch.setattr(settlement, "settle", settle_after_the_other_has_locked)
        outcomes = [outcome(worker.scans.run_new), outcome(results[0].result)]
    assert (outcomes == [2, 2]) is guarded
    assert (DeadlockDetected in outcomes) is not guarded


def outcome(run: Callable[[], int]) -> int | type[Exception]:
    try:
        return run()
    except DeadlockDetected as error:
        return type(error)


@contextmanager
def changed_order(conn: Conn, *, by_id: bool) -> Iterator[None]:
    """Count uses in the order of ids if `by_id`, until the end of the block."""
    (original,) = exactly_one(conn.execute("SELECT pg_get_functiondef('add_uses'::regproc)"))
    changed = original.replace("ORDER BY q.max_scans IS NULL, q.id", "ORDER BY q.id")
    assert changed != original
    conn.execute(changed if by_id else original)
    yield
    conn.execute(original)
