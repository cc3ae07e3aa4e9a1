"""Organizations take turns: the one with the fewest leased rows is next, then the one that waits longest."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.infra import db, fair_claims, leases
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable
from tests.infra.parcels import PARCELS, Parcel, expire_leases
from tests.support.concurrency import run_concurrently

LEASE = timedelta(seconds=30)
FAIR_PARCELS = replace(PARCELS, is_fair=True)


@dataclass
class Depot:
    """Parcels of organizations A, B and C, and workers that claim them one by one."""

    conn: Conn
    orgs: dict[str, UUID] = field(default_factory=lambda: {name: uuid4() for name in "ABC"})
    added: int = 0

    def add(self, names: str) -> None:
        """Add one pending parcel for each letter, in this order."""
        for name in names:
            self.added += 1
            row = (UUID(int=self.added), self.orgs[name])
            self.conn.execute("INSERT INTO parcels (id, org_id) VALUES (%s, %s)", row)

    def claim(self, table: LeasedTable[Parcel] = FAIR_PARCELS) -> str:
        """Claim a parcel. Return the letter of its organization, or an empty text."""
        return "".join(self.name_of(row.id) for row in fair_claims.claim_next(self.conn, table, uuid4(), LEASE))

    def claims(self, count: int) -> str:
        return "".join(self.claim() for _ in range(count))

    def name_of(self, parcel_id: UUID) -> str:
        row = self.conn.execute("SELECT org_id FROM parcels WHERE id = %s", (parcel_id,)).fetchone()
        return next(name for name, org_id in self.orgs.items() if row == (org_id,))

    def finish(self, name: str) -> None:
        """Finish the oldest leased parcel of an organization."""
        self.conn.execute(
            """
            UPDATE parcels SET status = 'done', lease_token = NULL, lease_until = NULL
            WHERE id = (
                SELECT id FROM parcels WHERE org_id = %s AND lease_token IS NOT NULL ORDER BY claimed_at LIMIT 1
            )
            """,
            (self.orgs[name],),
        )


@pytest.fixture
def depot(conn: Conn, parcels: list[UUID]) -> Depot:
    conn.execute("DELETE FROM parcels")
    return Depot(conn)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_later_organization_gets_the_next_free_worker(depot: Depot, workers: int) -> None:
    depot.add("A" * 20)
    assert depot.claims(workers) == "A" * workers
    depot.add("AB")

    depot.finish("A")

    assert depot.claim() == "B"


def test_a_later_organization_is_next_while_no_row_is_leased(depot: Depot) -> None:
    """Every row of A is older, and has the same number of leased rows beside it: none."""
    depot.add("AAAB")
    assert depot.claim() == "A"
    depot.finish("A")

    assert depot.claim() == "B"


def test_organizations_take_turns(depot: Depot) -> None:
    depot.add("AAAAABBC")
    order = ""
    for _ in range(8):
        order += (name := depot.claim())
        depot.finish(name)
    assert order == "ABCABAAA"


def test_the_organization_with_the_fewest_leased_rows_is_next(depot: Depot) -> None:
    depot.add("AAA")
    depot.claims(3)
    depot.add("BBBBCC")
    assert depot.claims(2) == "BC"
    depot.add("AAA")

    assert depot.claims(4) == "BCBA"


def test_expired_rows_are_retried_in_turn(depot: Depot) -> None:
    depot.add("B")
    depot.claim()
    expire_leases(depot.conn)
    depot.add("AAA")

    assert depot.claims(2) == "AB", "B had its turn before"


def test_the_leases_of_a_crashed_worker_do_not_count(depot: Depot) -> None:
    depot.add("BBBA")
    depot.claims(3)
    expire_leases(depot.conn)
    depot.add("A")

    assert depot.claims(2) in ("AB", "BA")


@pytest.mark.parametrize(
    "change",
    ["lease_until = now() + interval '1 minute'", "lease_until = now(), attempts = 3", "status = 'done'"],
    ids=["not due", "exhausted", "done"],
)
def test_other_rows_are_not_claimed(depot: Depot, change: str) -> None:
    depot.add("AB")
    depot.conn.execute(f"UPDATE parcels SET {change} WHERE org_id = %s", (depot.orgs["A"],))

    assert depot.claims(2) == "B"
    if "attempts" in change:
        assert len(leases.claim_exhausted(depot.conn, FAIR_PARCELS, uuid4(), LEASE, limit=9)) == 1


def test_claim_next_counts_the_attempt_and_clears_the_error(depot: Depot) -> None:
    depot.add("A")
    token = uuid4()
    (parcel,) = fair_claims.claim_next(depot.conn, FAIR_PARCELS, token, LEASE)
    leases.fail_lease(depot.conn, FAIR_PARCELS, token, [parcel.id], "too heavy")

    assert depot.claim() == "A"
    assert depot.conn.execute("SELECT attempts, last_error FROM parcels").fetchone() == (2, None)


@pytest.mark.parametrize(("locked", "expected"), [(1, "A"), (99, "B")], ids=["the first row", "all rows"])
def test_claims_skip_rows_that_another_transaction_has_locked(depot: Depot, locked: int, expected: str) -> None:
    depot.add("AAAB")
    lock = "SELECT FROM parcels WHERE org_id = %s ORDER BY id LIMIT %s FOR NO KEY UPDATE"
    with db.transaction() as other:
        other.execute(lock, (depot.orgs["A"], locked))
        assert depot.claim() == expected


def test_concurrent_claims_lease_each_row_once(depot: Depot) -> None:
    depot.add("AAAABBBB")

    def claim() -> list[Parcel]:
        with db.connection() as own:
            return [row for _ in range(2) for row in fair_claims.claim_next(own, FAIR_PARCELS, uuid4(), LEASE)]

    claimed = [row.id for rows in run_concurrently([claim] * 4) for row in rows]

    assert len(claimed) == len(set(claimed)) == 8


Step = tuple[str, str]


class Model:
    """What the claims must choose: for each organization its pending and leased rows, and the time of its last turn."""

    def __init__(self) -> None:
        self.pending, self.leased, self.turns = (
            dict.fromkeys("ABC", 0),
            dict.fromkeys("ABC", 0),
            dict.fromkeys("ABC", 0),
        )
        self.time = 0

    def next(self) -> str:
        waiting = [name for name in "ABC" if self.pending[name]]
        return min(waiting, key=lambda name: (self.leased[name], self.turns[name]), default="")

    def claim(self, name: str) -> None:
        self.time += 1
        self.pending[name] -= 1
        self.leased[name] += 1
        self.turns[name] = self.time


STEPS = st.lists(st.tuples(st.sampled_from(["add", "claim", "claim", "finish"]), st.sampled_from("AAABC")), max_size=40)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_every_claim_is_of_the_organization_whose_turn_it_is(depot: Depot, steps: Sequence[Step]) -> None:
    depot.conn.execute("DELETE FROM parcels")
    model = Model()
    for step, name in steps:
        if step == "add":
            depot.add(name)
            model.pending[name] += 1
        elif step == "finish":
            depot.finish(name)
            model.leased[name] = max(0, model.leased[name] - 1)
        elif expected := model.next():
            claimed = depot.claim()
            # Organizations without a turn are equal.
            assert (model.leased[claimed], model.turns[claimed]) == (model.leased[expected], model.turns[expected])
            model.claim(claimed)
        else:
            assert depot.claim() == ""
