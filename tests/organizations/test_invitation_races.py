"""Invitations that are used, revoked or outlived at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast
from uuid import UUID

import pytest
from flask import Flask

from shared.accounts import erasure
from shared.accounts import store as accounts
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import invitations, members, store
from shared.organizations.invitations import Invitation
from tests.support.callers import SignedInPlayer, Staff, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently, wait_until_blocked

Lock = Callable[[Conn, str, UUID], Invitation]


def find_without_lock(conn: Conn, reference: str, _player_id: UUID) -> Invitation:
    invitation = invitations.find(conn, reference)
    assert invitation is not None
    return invitation


@pytest.fixture
def link(app: Flask, staff: Staff) -> str:
    """The path of a link that one player can use."""
    body, client = {"role": "member"}, cast("Any", app.test_client())
    response = client.post(f"{staff.path}/invitations", json=body, headers=staff.owner.headers)
    return str(response.json["url"])


def accept(app: Flask, url: str, by: SignedInPlayer) -> int:
    return int(app.test_client().post(f"{url}/accept", headers=by.headers).status_code)


@pytest.fixture
def race(
    app: Flask, conn: Conn, staff: Staff, link: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Lock, Rendezvous], list[int]]:
    """Let two players use the last use of a link. Both read it first, if `lock` does not lock."""
    players = [sign_in(app, conn) for _ in range(2)]

    def run(lock: Lock, both_have_read: Rendezvous) -> list[int]:
        def read_and_wait(conn: Conn, reference: str, player_id: UUID) -> Invitation:
            invitation = lock(conn, reference, player_id)
            both_have_read.wait()
            return invitation

        monkeypatch.setattr(invitations, "lock", read_and_wait)
        return sorted(run_concurrently([partial(accept, app, link, player) for player in players]))

    return run


def count_members(conn: Conn, staff: Staff) -> int:
    return int(db.exactly_one(conn.execute("SELECT count(*) FROM memberships WHERE org_id = %s", (staff.org_id,)))[0])


def test_the_last_use_of_a_link_is_used_once(
    conn: Conn, staff: Staff, race: Callable[[Lock, Rendezvous], list[int]]
) -> None:
    assert race(invitations.lock, Rendezvous(patience=0.5)) == [200, 410]
    assert count_members(conn, staff) == 5


def test_negative_control_without_the_lock_both_use_it(
    conn: Conn, staff: Staff, race: Callable[[Lock, Rendezvous], list[int]]
) -> None:
    """The constraint on `uses_left`, which would refuse the second with 500, is dropped."""
    conn.execute("ALTER TABLE invitations DROP CONSTRAINT invitations_uses_left")
    try:
        assert race(find_without_lock, Rendezvous()) == [200, 200]
        assert count_members(conn, staff) == 6
    finally:
        conn.execute("TRUNCATE invitations")
        conn.execute(
            "ALTER TABLE invitations ADD CONSTRAINT invitations_uses_left CHECK (uses_left BETWEEN 0 AND uses)"
        )


@pytest.mark.parametrize("lock", [invitations.lock, find_without_lock], ids=["locked", "negative control"])
def test_a_revoked_link_admits_no_player_who_waited(
    app: Flask, conn: Conn, staff: Staff, link: str, monkeypatch: pytest.MonkeyPatch, lock: Lock
) -> None:
    """Without the lock, the accepting player has read the invitation before it was revoked."""
    monkeypatch.setattr(invitations, "lock", lock)
    has_read, is_revoked = Rendezvous(), Rendezvous()
    require_lower_role = members.require_lower_role

    def wait(*args: Any) -> Any:
        has_read.wait()
        is_revoked.wait()
        return require_lower_role(*args)

    if lock is find_without_lock:
        monkeypatch.setattr(members, "require_lower_role", wait)
        conn.execute("ALTER TABLE invitations DROP CONSTRAINT invitations_uses_left")
    try:
        with ThreadPoolExecutor(1) as threads:
            with db.transaction() as own:
                store.lock(own, staff.org_id)
                accepting = threads.submit(accept, app, link, staff.stranger)
                if lock is find_without_lock:
                    has_read.wait()
                else:
                    wait_until_blocked(conn)
                own.execute("UPDATE invitations SET uses_left = 0")
            if lock is find_without_lock:
                is_revoked.wait()
            status = accepting.result()
    finally:
        if lock is find_without_lock:
            conn.execute("TRUNCATE invitations")
            conn.execute(
                "ALTER TABLE invitations ADD CONSTRAINT invitations_uses_left CHECK (uses_left BETWEEN 0 AND uses)"
            )
    assert status == (200 if lock is find_without_lock else 410)


def test_a_player_being_erased_cannot_become_a_member(app: Flask, conn: Conn, staff: Staff, link: str) -> None:
    ada = sign_in(app, conn, "ada")

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            accounts.lock_account(own, ada.id)
            erasure.erase(own, ada.id, {})
            accepting = threads.submit(accept, app, link, ada)
            wait_until_blocked(conn)
        assert accepting.result() == 401
    assert members.get_role(conn, staff.org_id, ada.id) is None


def test_a_player_being_erased_cannot_be_invited(app: Flask, conn: Conn, staff: Staff) -> None:
    ada, body = sign_in(app, conn, "ada"), {"username": "ada", "role": "member"}

    def invite() -> int:
        path = f"{staff.path}/invitations"
        return int(app.test_client().post(path, json=body, headers=staff.owner.headers).status_code)

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            accounts.lock_account(own, ada.id)
            erasure.erase(own, ada.id, {})
            inviting = threads.submit(invite)
            wait_until_blocked(conn)
        assert inviting.result() == 422
    assert conn.execute("SELECT count(*) FROM invitations").fetchone() == (0,)
