"""The last owner of an organization stays, also when two owners remove each other at the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.accounts import erasure
from shared.accounts import store as accounts
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import store
from tests.support.callers import SignedInPlayer, Staff, add_member, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently, wait_until_blocked
from tests.support.factories import make_player

Look = Callable[[Conn, UUID], set[UUID]]


def owners(conn: Conn, org_id: UUID) -> set[UUID]:
    rows = conn.execute("SELECT player_id FROM memberships WHERE org_id = %s AND role = 'owner'", (org_id,)).fetchall()
    return {row[0] for row in rows}


def test_the_last_owner_stays(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.path}/members/{staff.owner.id}"

    assert client.delete(path, headers=staff.owner.headers).status_code == 409
    assert client.patch(path, json={"role": "admin"}, headers=staff.owner.headers).status_code == 409
    assert client.patch(path, json={"role": "owner"}, headers=staff.owner.headers).status_code == 200
    assert owners(conn, staff.org_id) == {staff.owner.id}


def test_an_owner_who_is_not_the_last_may_go(client: Any, conn: Conn, staff: Staff) -> None:
    join_as_owner = {"role": "owner"}
    client.patch(f"{staff.path}/members/{staff.admin.id}", json=join_as_owner, headers=staff.owner.headers)

    assert client.delete(f"{staff.path}/members/{staff.owner.id}", headers=staff.owner.headers).status_code == 204
    assert owners(conn, staff.org_id) == {staff.admin.id}


@pytest.fixture
def race(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Look, Rendezvous], list[int]]:
    """Two owners remove each other; both have looked who the owners are before either goes on, if `look` lets them."""
    other = sign_in(app, conn)
    add_member(conn, staff.org_id, other.id, "owner")

    def remove(by: SignedInPlayer, whom: SignedInPlayer) -> int:
        path = f"{staff.path}/members/{whom.id}"
        return int(app.test_client().delete(path, headers=by.headers).status_code)

    def run(look: Look, meeting: Rendezvous) -> list[int]:
        def look_and_meet(conn: Conn, org_id: UUID) -> set[UUID]:
            seen = look(conn, org_id)
            meeting.wait()
            return seen

        monkeypatch.setattr(store, "lock_owners", look_and_meet)
        return sorted(run_concurrently([lambda: remove(staff.owner, other), lambda: remove(other, staff.owner)]))

    return run


def test_of_two_owners_who_remove_each_other_one_stays(
    conn: Conn, staff: Staff, race: Callable[[Look, Rendezvous], list[int]]
) -> None:
    won, lost = race(store.lock_owners, Rendezvous(patience=0.5))

    assert won == 204
    assert lost in (403, 409)  # 403: was removed before it came to the gate
    assert len(owners(conn, staff.org_id)) == 1


def test_negative_control_without_the_lock_none_stays(
    conn: Conn, staff: Staff, race: Callable[[Look, Rendezvous], list[int]]
) -> None:
    assert race(owners, Rendezvous()) == [204, 204]
    assert owners(conn, staff.org_id) == set()


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_who_is_no_owner_any_more_when_it_is_their_turn_changes_nobody(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    other, look = sign_in(app, conn), store.lock_owners
    add_member(conn, staff.org_id, other.id, "owner")

    def too_late(own: Conn, org_id: UUID) -> set[UUID]:
        store.set_role(conn, org_id, staff.owner.id, "admin")
        return look(own, org_id)

    monkeypatch.setattr(store, "lock_owners", too_late)
    body = {"role": "analyst"} if method == "PATCH" else None
    path = f"{staff.path}/members/{staff.member.id}"
    answer = app.test_client().open(path, method=method, headers=staff.owner.headers, json=body)

    assert answer.status_code == 403
    assert store.get_role(conn, staff.org_id, staff.member.id) == "member"


def test_who_is_being_erased_is_made_no_owner(conn: Conn, staff: Staff) -> None:
    bob = make_player(conn, "bob")

    def add() -> UUID | None:
        with db.transaction() as own:
            return store.add_member(own, staff.org_id, "bob", "owner")

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            accounts.lock_account(own, bob)
            erasure.erase(own, bob)
            adding = threads.submit(add)
            wait_until_blocked(conn)
        assert adding.result() is None
    assert owners(conn, staff.org_id) == {staff.owner.id}
