"""Leases on a table of parcels, and the statements of every leased table."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from shared.generated_codes.store import PENDING_CODES
from shared.imports.store import PENDING_IMPORTS
from shared.infra import db, fair_claims, leases
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable, LeaseLost
from shared.renders.assembly import PENDING_ASSEMBLIES
from shared.renders.chunks import PENDING_CHUNKS
from shared.scans.settlement import PENDING_SCANS
from tests.infra.parcels import PARCELS, Parcel, expire_leases
from tests.support.concurrency import run_concurrently

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE = timedelta(seconds=30)
LEASED_TABLES = (PENDING_SCANS, PENDING_CODES, PENDING_IMPORTS, PENDING_CHUNKS, PENDING_ASSEMBLIES)


def row_of(conn: Conn, parcel_id: UUID) -> tuple[Any, ...]:
    """Return attempts, whether a token is set, whether a lease time is set, and the error."""
    return db.exactly_one(
        conn.execute(
            "SELECT attempts, lease_token IS NOT NULL, lease_until IS NOT NULL, last_error FROM parcels WHERE id = %s",
            (parcel_id,),
        )
    )


def claim_all(conn: Conn) -> UUID:
    token = uuid4()
    leases.claim_new(conn, PARCELS, token, LEASE, limit=9)
    return token


def ids(rows: list[Parcel]) -> list[UUID]:
    return sorted(row.id for row in rows)


# Claims ---------------------------------------------------------------------------------------------------------------


def test_claim_new_leases_a_batch_and_counts_the_attempt(conn: Conn, parcels: list[UUID]) -> None:
    rows = leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=3)

    assert ids(rows) == parcels[:3]
    assert {row.attempts for row in rows} == {1}
    assert ids(leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=9)) == parcels[3:]
    assert leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=9) == []


def test_claims_skip_rows_that_another_transaction_is_claiming(conn: Conn, parcels: list[UUID]) -> None:
    with db.transaction() as other:
        assert ids(leases.claim_new(other, PARCELS, uuid4(), LEASE, limit=2)) == parcels[:2]
        assert ids(leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=9)) == parcels[2:]


def test_concurrent_claims_lease_each_row_once(conn: Conn, parcels: list[UUID]) -> None:
    def claim() -> list[Parcel]:
        with db.connection() as own:
            return leases.claim_new(own, PARCELS, uuid4(), LEASE, limit=2)

    claimed = run_concurrently([claim] * 4)

    assert sorted(row.id for rows in claimed for row in rows) == parcels


def test_an_active_lease_is_not_claimed(conn: Conn, parcels: list[UUID]) -> None:
    claim_all(conn)

    assert not leases.has_expired(conn, PARCELS)
    assert leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=9) == []
    assert leases.claim_retry(conn, PARCELS, uuid4(), LEASE) == []
    assert leases.claim_exhausted(conn, PARCELS, uuid4(), LEASE, limit=9) == []


def test_expired_leases_are_retried_one_at_a_time_least_tried_first(conn: Conn, parcels: list[UUID]) -> None:
    claim_all(conn)
    conn.execute("UPDATE parcels SET attempts = 2 WHERE id = %s", (parcels[0],))
    expire_leases(conn)

    assert leases.has_expired(conn, PARCELS)
    retried = [leases.claim_retry(conn, PARCELS, uuid4(), LEASE) for _ in range(6)]

    assert [row.id for rows in retried for row in rows] == [*parcels[1:], parcels[0]]
    assert retried[-1] == []


def test_a_row_whose_worker_crashes_three_times_is_exhausted(conn: Conn, parcels: list[UUID]) -> None:
    claim_all(conn)
    conn.execute("DELETE FROM parcels WHERE id <> %s", (parcels[0],))
    for _ in range(2):
        expire_leases(conn)
        assert leases.claim_exhausted(conn, PARCELS, uuid4(), LEASE, limit=9) == []
        assert ids(leases.claim_retry(conn, PARCELS, uuid4(), LEASE)) == parcels[:1]
    expire_leases(conn)

    assert leases.claim_retry(conn, PARCELS, uuid4(), LEASE) == []
    assert ids(leases.claim_exhausted(conn, PARCELS, uuid4(), LEASE, limit=9)) == parcels[:1]
    assert row_of(conn, parcels[0])[-1] == leases.CRASHED


# The end of a lease ---------------------------------------------------------------------------------------------------


def test_release_does_not_count_the_attempt(conn: Conn, parcels: list[UUID]) -> None:
    leases.release_lease(conn, PARCELS, claim_all(conn))

    assert row_of(conn, parcels[0]) == (0, False, False, None)
    assert ids(leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=9)) == parcels


def test_release_of_a_retry_leaves_the_row_for_another_retry(conn: Conn, parcels: list[UUID]) -> None:
    """After a crash a row is never claimed in a batch again."""
    claim_all(conn)
    expire_leases(conn)
    token = uuid4()
    leases.claim_retry(conn, PARCELS, token, LEASE)

    leases.release_lease(conn, PARCELS, token)

    assert row_of(conn, parcels[0]) == (1, False, True, None)
    assert leases.claim_new(conn, PARCELS, uuid4(), LEASE, limit=9) == []
    assert ids(leases.claim_retry(conn, PARCELS, uuid4(), LEASE)) == parcels[:1]


def test_failed_rows_of_a_batch_are_retried_alone(conn: Conn, parcels: list[UUID]) -> None:
    token = claim_all(conn)

    leases.fail_lease(conn, PARCELS, token, parcels[:2], "x" * 999)

    assert row_of(conn, parcels[0]) == (1, False, True, "x" * leases.MAX_ERROR_LENGTH)
    assert row_of(conn, parcels[2]) == (1, True, True, None)
    retried = [leases.claim_retry(conn, PARCELS, uuid4(), LEASE) for _ in range(3)]
    assert [ids(rows) for rows in retried] == [parcels[:1], parcels[1:2], []]
    assert row_of(conn, parcels[0])[-1] is None, "the error is the last attempt's"


def test_a_row_that_fails_three_times_is_exhausted_with_its_error(conn: Conn, parcels: list[UUID]) -> None:
    token = claim_all(conn)
    for _ in range(3):
        leases.fail_lease(conn, PARCELS, token, parcels[:1], "too heavy")
        leases.claim_retry(conn, PARCELS, token := uuid4(), LEASE)

    assert ids(leases.claim_exhausted(conn, PARCELS, uuid4(), LEASE, limit=9)) == parcels[:1]
    assert row_of(conn, parcels[0])[-1] == "too heavy"


def test_renewed_lease_stays_active_and_returns_the_row(conn: Conn, parcels: list[UUID]) -> None:
    token = claim_all(conn)
    expire_leases(conn)

    assert leases.renew_lease(conn, PARCELS, token, parcels[0], LEASE) == Parcel(parcels[0], 1)

    assert ids(leases.claim_retry(conn, PARCELS, uuid4(), LEASE)) == parcels[1:2]


def test_storage_failures_double_the_pause_and_count_no_attempt(conn: Conn, parcels: list[UUID]) -> None:
    pauses = []
    token = claim_all(conn)
    for failures in (1, 2, 3):
        assert leases.retry_later(conn, PARCELS, token, parcels[0], timedelta(seconds=10), "disk full") == failures
        pause, error = db.exactly_one(
            conn.execute(
                "SELECT extract(epoch FROM lease_until - now())::float, last_error FROM parcels WHERE id = %s",
                (parcels[0],),
            )
        )
        pauses.append(round(pause, -1))
        assert error == "disk full"
        assert leases.claim_retry(conn, PARCELS, uuid4(), LEASE) == [], "not due yet"
        conn.execute("UPDATE parcels SET lease_until = now() WHERE id = %s", (parcels[0],))
        ((retried,),) = ([leases.claim_retry(conn, PARCELS, token := uuid4(), LEASE)],)
        assert [row.attempts for row in retried] == [1]

    assert pauses == [10, 20, 40]


# The fence ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["expired and claimed again", "settled"])
def lost_token(request: pytest.FixtureRequest, conn: Conn, parcels: list[UUID]) -> UUID:
    """The token of a worker that was halted for longer than its lease."""
    token = claim_all(conn)
    if request.param == "settled":
        conn.execute("UPDATE parcels SET status = 'done'")
    else:
        expire_leases(conn)
        for _ in parcels:
            leases.claim_retry(conn, PARCELS, uuid4(), LEASE)
    return token


def test_a_lost_lease_changes_nothing(conn: Conn, parcels: list[UUID], lost_token: UUID) -> None:
    before = conn.execute("SELECT * FROM parcels ORDER BY id").fetchall()
    writes: list[Callable[[], Any]] = [
        lambda: leases.renew_lease(conn, PARCELS, lost_token, parcels[0], LEASE),
        lambda: leases.retry_later(conn, PARCELS, lost_token, parcels[0], LEASE, "late"),
        lambda: leases.lock_one(conn, PARCELS, lost_token, parcels[0]),
    ]
    for write in writes:
        with pytest.raises(LeaseLost):
            write()

    leases.release_lease(conn, PARCELS, lost_token)
    leases.fail_lease(conn, PARCELS, lost_token, parcels, "late")

    assert leases.lock_held(conn, PARCELS, lost_token, parcels).fetchall() == []
    assert conn.execute("SELECT * FROM parcels ORDER BY id").fetchall() == before


def test_a_lost_lease_negative_control(conn: Conn, parcels: list[UUID], lost_token: UUID) -> None:
    """Without the token in the condition, the late worker would write."""
    before = conn.execute("SELECT * FROM parcels ORDER BY id").fetchall()
    unfenced = leases.FAIL.replace("AND lease_token = %(token)s AND {pending}", "")
    assert unfenced != leases.FAIL

    conn.execute(leases.statement(unfenced, PARCELS), {"ids": parcels, "error": "late"})

    assert conn.execute("SELECT * FROM parcels ORDER BY id").fetchall() != before


def test_locked_rows_wait_for_no_claim_and_are_not_claimed(conn: Conn, parcels: list[UUID]) -> None:
    """Settling may take longer than the lease: until its transaction ends, no worker claims the row."""
    token = claim_all(conn)
    with db.transaction() as settling:
        assert leases.lock_held(settling, PARCELS, token, parcels[:1]).rowcount == 1
        expire_leases_of_others = "UPDATE parcels SET lease_until = now() WHERE id <> %s"
        settling.execute("UPDATE parcels SET lease_until = now() WHERE id = %s", (parcels[0],))
        conn.execute(expire_leases_of_others, (parcels[0],))
        claimed = [leases.claim_retry(conn, PARCELS, uuid4(), LEASE) for _ in parcels]
        assert [row.id for rows in claimed for row in rows] == parcels[1:]


# The tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", LEASED_TABLES, ids=lambda table: table.name)
def test_every_statement_runs_on_every_leased_table(conn: Conn, table: LeasedTable[Any]) -> None:
    token = uuid4()
    assert leases.claim_new(conn, table, token, LEASE, limit=1) == []
    assert leases.claim_retry(conn, table, token, LEASE) == []
    assert leases.claim_exhausted(conn, table, token, LEASE, limit=1) == []
    assert not leases.has_expired(conn, table)
    assert leases.lock_held(conn, table, token, [token]).fetchall() == []
    with pytest.raises(LeaseLost):
        leases.renew_lease(conn, table, token, token, LEASE)
    leases.release_lease(conn, table, token)
    leases.fail_lease(conn, table, token, [token], "error")


@pytest.mark.parametrize("table", LEASED_TABLES, ids=lambda table: table.name)
def test_claims_of_every_leased_table_use_its_index_of_pending_rows(conn: Conn, table: LeasedTable[Any]) -> None:
    """A claim reads pending rows only, however many rows are finished."""
    statement = leases.statement(leases.HAS_EXPIRED, table)
    with db.transaction() as own:
        own.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in own.execute(b"EXPLAIN " + statement))
    assert any(f"{table.name}_{kind}" in plan for kind in ("pending", "open")), plan


FAIR_TABLES = [table for table in LEASED_TABLES if table.is_fair]


@pytest.mark.parametrize("table", FAIR_TABLES, ids=lambda table: table.name)
def test_fair_claims_read_one_row_of_each_organization(conn: Conn, table: LeasedTable[Any]) -> None:
    """And the last turn of an organization, however many rows are pending or finished."""
    statement = leases.statement(fair_claims.CLAIM_NEXT, table)
    params = {"token": uuid4(), "lease": LEASE, "max_attempts": 3}
    with db.transaction() as own:
        own.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in own.execute(b"EXPLAIN " + statement, params))
    assert "Seq Scan" not in plan, plan
    # Both begin with the organization. In an empty table, they cost the same.
    assert any(f"{table.name}_{index}" in plan for index in ("leased", "turns")), plan
    assert f"Index Only Scan Backward using {table.name}_turns" in plan, plan
