"""The job loop: new rows in batches, expired rows alone, then the dead letter."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from structlog.testing import capture_logs

from shared.infra import db, leases
from shared.infra.db import Conn
from shared.infra.leases import LeaseLost
from shared.infra.message_sender import background_sender
from shared.messages import Message, ScansPending
from tests.infra.parcels import PARCELS, Parcel, expire_leases
from tests.support.concurrency import run_concurrently
from workers import jobs
from workers.broker import worker_lifecycle
from workers.jobs import JobRunner

LEASE = timedelta(seconds=30)
MESSAGE = ScansPending()


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """The messages that were submitted."""
    submitted: list[Message] = []
    monkeypatch.setattr(background_sender, "submit", submitted.append)
    return submitted


class Warehouse:
    """Works on parcels: `batches` are those that were claimed. `before` runs with each batch before it is settled."""

    def __init__(self, before: Callable[[list[UUID]], None] = lambda _ids: None, **options: Any) -> None:
        self.before = before
        self.batches: list[list[UUID]] = []
        self.dead: list[UUID] = []
        self.runner = JobRunner(PARCELS, MESSAGE, self.work, self.dead_letter, lease=lambda: LEASE, **options)

    def work(self, token: UUID, parcels: list[Parcel]) -> None:
        ids = sorted(parcel.id for parcel in parcels)
        self.batches.append(ids)
        self.before(ids)
        self.settle(token, ids, "done")

    def dead_letter(self, token: UUID, parcels: list[Parcel]) -> None:
        self.dead += [parcel.id for parcel in parcels]
        self.settle(token, [parcel.id for parcel in parcels], "failed")

    def settle(self, token: UUID, ids: list[UUID], status: str) -> None:
        with db.transaction() as conn:
            held = [row[0] for row in leases.lock_held(conn, PARCELS, token, ids).fetchall()]
            conn.execute("UPDATE parcels SET status = %s WHERE id = ANY (%s)", (status, held))


def statuses(conn: Conn) -> dict[str, int]:
    return dict(conn.execute("SELECT status, count(*) FROM parcels GROUP BY status").fetchall())


def test_all_new_rows_are_worked_on_in_batches(conn: Conn, parcels: list[UUID]) -> None:
    warehouse = Warehouse(batch_size=2)

    warehouse.runner.run_pending()
    warehouse.runner.run_pending()

    assert warehouse.batches == [parcels[:2], parcels[2:4], parcels[4:]]
    assert statuses(conn) == {"done": 5}


def test_a_full_batch_wakes_another_worker(conn: Conn, parcels: list[UUID], messages: list[Message]) -> None:
    Warehouse(batch_size=5).runner.run_new()
    assert messages == [MESSAGE]

    conn.execute("UPDATE parcels SET status = 'pending', lease_token = NULL, lease_until = NULL")
    Warehouse(batch_size=6).runner.run_new()
    assert messages == [MESSAGE]


def test_concurrent_runs_work_on_each_row_once(conn: Conn, parcels: list[UUID]) -> None:
    warehouse = Warehouse(batch_size=1)

    run_concurrently([warehouse.runner.run_pending] * 4)

    assert sorted(row for batch in warehouse.batches for row in batch) == parcels


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (LeaseLost, "lease_lost"),
        (psycopg.OperationalError, "lease_released"),
        (ZeroDivisionError, "attempt_failed"),
    ],
)
def test_a_batch_without_success_is_logged_with_its_first_row(
    conn: Conn, parcels: list[UUID], error: type[Exception], event: str
) -> None:
    def stop(_ids: list[UUID]) -> None:
        raise error

    with capture_logs() as lines, suppress(psycopg.OperationalError):
        Warehouse(stop, batch_size=9).runner.run_new()

    (line,) = lines
    assert (line["event"], line["table"], line["rows"]) == (event, "parcels", 5)
    assert UUID(line["first_id"]) in parcels


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit], ids=["fails", "kills its worker"])
def test_a_row_that_stops_its_worker_is_dead_lettered_after_three_attempts(
    conn: Conn, parcels: list[UUID], error: type[BaseException]
) -> None:
    def stop(ids: list[UUID]) -> None:
        if parcels[1] in ids:
            raise error

    warehouse = Warehouse(stop, batch_size=9)
    for _ in range(9):
        try:
            warehouse.runner.run_pending()
        except SystemExit:
            expire_leases(conn)

    assert [batch for batch in warehouse.batches if parcels[1] in batch] == [parcels, [parcels[1]], [parcels[1]]]
    assert all(len(batch) == 1 for batch in warehouse.batches[1:]), "each row is retried alone"
    assert warehouse.dead == [parcels[1]]
    assert statuses(conn) == {"done": 4, "failed": 1}


def test_an_unavailable_database_costs_no_attempt(conn: Conn, parcels: list[UUID]) -> None:
    def fail(_ids: list[UUID]) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with pytest.raises(psycopg.OperationalError):
        Warehouse(fail, batch_size=9).runner.run_pending()

    assert conn.execute("SELECT DISTINCT attempts, lease_until FROM parcels").fetchall() == [(0, None)]


def test_a_lost_lease_is_left_to_its_new_worker(conn: Conn, parcels: list[UUID]) -> None:
    def lose(_ids: list[UUID]) -> None:
        expire_leases(conn)
        leases.claim_retry(conn, PARCELS, uuid4(), LEASE)
        raise LeaseLost

    assert Warehouse(lose, batch_size=1).runner.run_new() == 1

    assert conn.execute("SELECT attempts, lease_until > now() FROM parcels WHERE id = %s", parcels[:1]).fetchone() == (
        2,
        True,
    )


def test_a_backlog_does_not_hide_expired_rows(conn: Conn, parcels: list[UUID]) -> None:
    leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=1)
    expire_leases(conn)
    warehouse = Warehouse(batch_size=1)

    warehouse.runner.run_pending()

    assert warehouse.batches == [[parcels[1]], [parcels[0]], *([parcel] for parcel in parcels[2:])]


def test_expired_rows_are_left_to_a_run_that_retries(conn: Conn, parcels: list[UUID]) -> None:
    leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=1)
    expire_leases(conn)
    warehouse = Warehouse(batch_size=9)

    warehouse.runner.run_pending(retry=False)
    assert warehouse.batches == [parcels[1:]]
    warehouse.runner.run_pending()
    assert warehouse.batches == [parcels[1:], parcels[:1]]


def test_a_stopping_process_claims_nothing_more(conn: Conn, parcels: list[UUID]) -> None:
    warehouse = Warehouse(lambda _ids: worker_lifecycle.stopping.set(), batch_size=2)

    try:
        warehouse.runner.run_pending()
    finally:
        worker_lifecycle.stopping.clear()

    assert warehouse.batches == [parcels[:2]]


def test_a_long_run_yields_to_other_messages(
    conn: Conn, parcels: list[UUID], messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MAX_RUN_SECONDS", -1.0)
    warehouse = Warehouse(batch_size=2)

    warehouse.runner.run_pending()

    assert warehouse.batches == [parcels[:2]]
    assert messages == [MESSAGE, MESSAGE], "one for the full batch, one to continue"


def test_a_message_without_a_free_slot_is_not_lost(conn: Conn, parcels: list[UUID]) -> None:
    """The row is inserted after the only worker looked for the last time, and before its slot is free."""
    warehouse = Warehouse(batch_size=9, concurrency=1)
    run_expired = warehouse.runner.run_expired

    def insert_at_the_end() -> int:
        retried = run_expired()
        if len(warehouse.batches) == 1:
            conn.execute("INSERT INTO parcels DEFAULT VALUES")
            thread = threading.Thread(target=warehouse.runner.run_pending)
            thread.start()
            thread.join()
        return retried

    warehouse.runner.run_expired = insert_at_the_end  # type: ignore[method-assign]
    warehouse.runner.run_pending()

    assert [len(batch) for batch in warehouse.batches] == [5, 1]
    assert statuses(conn) == {"done": 6}


def test_heartbeat_renews_the_lease(conn: Conn, parcels: list[UUID]) -> None:
    token = uuid4()
    leases.claim_new(conn, PARCELS, token, LEASE, limit=1)
    expire_leases(conn)

    assert Warehouse().runner.heartbeat(token, parcels[0]) == Parcel(parcels[0], 1)
    assert not leases.has_expired(conn, PARCELS)
