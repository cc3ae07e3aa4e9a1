"""An organization always has an owner, even if two owners remove each other at the same time."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.organizations import members as store
from tests.support.callers import SignedInPlayer, Staff, add_member, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently

Read = Callable[[Conn, UUID], set[UUID]]


def owners(conn: Conn, org_id: UUID) -> set[UUID]:
    rows = conn.execute("SELECT player_id FROM memberships WHERE org_id = %s AND role = 'owner'", (org_id,)).fetchall()
    return {row[0] for row in rows}


def test_the_last_owner_cannot_leave_or_change_role(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.path}/members/{staff.owner.id}"

    assert client.delete(path, headers=staff.owner.headers).status_code == 409
    assert client.patch(path, json={"role": "admin"}, headers=staff.owner.headers).status_code == 409
    assert client.patch(path, json={"role": "owner"}, headers=staff.owner.headers).status_code == 200
    assert owners(conn, staff.org_id) == {staff.owner.id}


def test_an_owner_can_leave_if_another_remains(client: Any, conn: Conn, staff: Staff) -> None:
    offer = client.patch(f"{staff.path}/members/{staff.admin.id}", json={"role": "owner"}, headers=staff.owner.headers)
    assert owners(conn, staff.org_id) == {staff.owner.id}
    assert client.post(f"{offer.json['url']}/accept", headers=staff.admin.headers).status_code == 200

    assert client.delete(f"{staff.path}/members/{staff.owner.id}", headers=staff.owner.headers).status_code == 204
    assert owners(conn, staff.org_id) == {staff.admin.id}


@pytest.fixture
def race(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Read, Rendezvous], list[int]]:
    """Run two removals: two owners remove each other. Both read the owners first, if `read` does not lock."""
    other = sign_in(app, conn)
    add_member(conn, staff.org_id, other.id, "owner")

    def remove(by: SignedInPlayer, member: SignedInPlayer) -> int:
        path = f"{staff.path}/members/{member.id}"
        return int(app.test_client().delete(path, headers=by.headers).status_code)

    def run(read: Read, both_have_read: Rendezvous) -> list[int]:
        def read_and_wait(conn: Conn, org_id: UUID) -> set[UUID]:
            current = read(conn, org_id)
            both_have_read.wait()
            return current

        monkeypatch.setattr(store, "lock_owners", read_and_wait)
        return sorted(run_concurrently([lambda: remove(staff.owner, other), lambda: remove(other, staff.owner)]))

    return run


def test_of_two_owners_who_remove_each_other_one_remains(
    conn: Conn, staff: Staff, race: Callable[[Read, Rendezvous], list[int]]
) -> None:
    first, second = race(store.lock_owners, Rendezvous(patience=0.5))

    # 403 if the second caller was removed before the authorization, 409 after it.
    assert first == 204
    assert second in (403, 409)
    assert len(owners(conn, staff.org_id)) == 1


def test_negative_control_without_the_lock_no_owner_remains(
    conn: Conn, staff: Staff, race: Callable[[Read, Rendezvous], list[int]]
) -> None:
    assert race(owners, Rendezvous()) == [204, 204]
    assert owners(conn, staff.org_id) == set()


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_caller_who_lost_the_role_meanwhile_gets_403(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    other, lock_owners = sign_in(app, conn), store.lock_owners
    add_member(conn, staff.org_id, other.id, "owner")

    def demote_and_lock(own: Conn, org_id: UUID) -> set[UUID]:
        store.set_role(conn, org_id, staff.owner.id, "admin")
        return lock_owners(own, org_id)

    monkeypatch.setattr(store, "lock_owners", demote_and_lock)
    body = {"role": "analyst"} if method == "PATCH" else None
    path = f"{staff.path}/members/{staff.member.id}"
    response = app.test_client().open(path, method=method, headers=staff.owner.headers, json=body)

    assert response.status_code == 403
    assert store.get_role(conn, staff.org_id, staff.member.id) == "member"
