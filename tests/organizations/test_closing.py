"""Deletion of an organization: closed at once, restored within seven days."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import closing, store
from tests.encounters.factories import RIGHT, make_puzzle, open_puzzle
from tests.quests.scan_quests import make_quest
from tests.renders.factories import add_render, make_codes, make_render, work
from tests.support.callers import Staff, make_key, sign_in
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import code_text, make_code, make_invitation, submit_scan
from tests.support.polling import eventually
from web.http.auth import requirement_of
from web.pages import visits
from workers.scans import judge_pending


def name_of(conn: Conn, org_id: UUID) -> str:
    return str(db.exactly_one(conn.execute("SELECT name FROM organizations WHERE id = %s", (org_id,)))[0])


def close(client: Any, conn: Conn, staff: Staff) -> Any:
    response = client.delete(staff.path, json={"name": name_of(conn, staff.org_id)}, headers=staff.owner.headers)
    assert response.status_code == 202, response.text
    return response.json


def restore(client: Any, staff: Staff) -> Any:
    return client.post(f"{staff.path}/restore", headers=staff.owner.headers)


def age(conn: Conn, staff: Staff, days: float) -> None:
    """Move the closing into the past."""
    conn.execute(
        "UPDATE organizations SET closed_at = closed_at - make_interval(secs => %s) WHERE id = %s",
        (days * 86_400, staff.org_id),
    )


def test_the_owner_types_the_name(client: Any, conn: Conn, staff: Staff) -> None:
    wrong = client.delete(staff.path, json={"name": "another"}, headers=staff.owner.headers)
    assert (wrong.status_code, wrong.json["errors"][0]["loc"]) == (422, "body.name")
    assert client.delete(staff.path, json={}, headers=staff.owner.headers).status_code == 422

    closed = close(client, conn, staff)

    assert closed["closed_at"] < closed["erased_after"]
    assert close(client, conn, staff) == closed
    assert client.get(staff.path, headers=staff.member.headers).json["closed_at"] == closed["closed_at"]
    (listed,) = client.get("/api/organizations", headers=staff.member.headers).json["items"]
    assert listed["closed_at"] == closed["closed_at"]


def test_every_other_route_of_a_closed_organization_is_410(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    close(client, conn, staff)
    tried = 0
    for rule in app.url_map.iter_rules():
        requirement = requirement_of(app.view_functions[rule.endpoint])
        if requirement.kind != "role" or requirement.in_closed or requirement.allows_signed_link:
            continue
        path = rule.rule.replace("<org_id>", str(staff.org_id))
        path = "/".join(str(staff.org_id) if part.startswith("<") else part for part in path.split("/"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            response = client.open(path, method=method, headers=staff.owner.headers)
            assert response.status_code == 410, f"{method} {rule.rule}: {response.status_code}"
            assert client.open(path, method=method, headers=staff.stranger.headers).status_code == 403
            tried += 1
    assert tried > 40


def test_codes_pages_keys_and_files_of_a_closed_organization_stop(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "visit_buffer", MagicMock())
    code, key = make_code(conn, staff.org_id), make_key(conn, staff.org_id)
    text, redirect = (
        code_text(conn, code),
        code_text(conn, make_code(conn, staff.org_id, target_url="https://a.example")),
    )
    slug = store.get_slug(conn, staff.org_id)
    render = f"{staff.path}/renders/{make_render(conn, staff.org_id, code)}/download"
    invitation = make_invitation(conn, staff.org_id, staff.stranger.id)
    member, stranger = staff.member.headers, staff.stranger.headers

    def statuses() -> list[int]:
        return [
            client.get(f"/qr/{text}", headers=stranger).status_code,
            client.get(f"/s/{text}").status_code,
            client.get(f"/s/{redirect}").status_code,
            client.get(f"/b/{slug}").status_code,
            client.get(f"{staff.codes}/{code}/image", headers=member).status_code,
            client.get(staff.codes, headers=key.headers).status_code,
            client.get(render, headers=staff.admin.headers).status_code,
            client.get(f"/invitations/{invitation}").status_code,
            client.get("/users/me/invitations", headers=stranger).json["items"] != [],
        ]

    before = statuses()
    assert 410 not in before

    close(client, conn, staff)
    assert statuses() == [410, 410, 410, 410, 410, 401, 410, 410, False]
    assert client.post(f"/invitations/{invitation}/accept", headers=stranger).status_code == 410

    assert restore(client, staff).status_code == 200
    assert statuses() == before


def test_a_signed_link_of_a_closed_organization_is_410(client: Any, conn: Conn, staff: Staff) -> None:
    render = add_render(conn, staff.org_id, make_codes(conn, staff.org_id, 1))
    work()
    link = client.get(f"{staff.path}/renders/{render}", headers=staff.admin.headers).json["download_url"]
    assert client.get(link).status_code == 200

    close(client, conn, staff)

    assert client.get(link).status_code == 410


def test_nothing_is_paid_while_closed(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    """A pending scan, an open puzzle, and a completed quest that was not claimed."""
    ada = sign_in(app, conn)
    quest = make_quest(conn, staff.org_id, streak=1, auto_claim=False)
    done = make_code(conn, staff.org_id, tags=["landmark"])
    submit_scan(conn, ada.id, done)
    judge_pending()
    code, encounter = make_puzzle(conn, staff.org_id)
    open_puzzle(conn, ada, code)
    pending = submit_scan(conn, ada.id, make_code(conn, staff.org_id))
    ledger = "SELECT count(*) FROM inventory_ledger"
    paid = conn.execute(ledger).fetchone()

    close(client, conn, staff)
    judge_pending()
    scan = client.get(f"/scan/{pending}", headers=ada.headers).json
    solved = client.post(f"/encounters/{encounter}/solve", json={"answer": RIGHT}, headers=ada.headers)
    claim = {"quest_name": quest.name}
    claimed = client.post("/api/v1/track/claim_reward", json=claim, headers=ada.headers)

    assert (scan["status"], scan["reason"]) == ("failure", "inactive")
    assert (solved.status_code, claimed.status_code) == (410, 410)
    assert conn.execute(ledger).fetchone() == paid

    restore(client, staff)
    assert client.post(f"/encounters/{encounter}/solve", json={"answer": RIGHT}, headers=ada.headers).status_code == 200
    assert client.post("/api/v1/track/claim_reward", json=claim, headers=ada.headers).status_code == 200


@pytest.mark.parametrize(("days", "status"), [(0, 200), (6.99, 200), (7, 410), (30, 410)])
def test_an_owner_restores_within_seven_days(client: Any, conn: Conn, staff: Staff, days: float, status: int) -> None:
    close(client, conn, staff)
    age(conn, staff, days)

    response = restore(client, staff)

    assert response.status_code == status
    assert (client.get(staff.codes, headers=staff.owner.headers).status_code == 200) == (status == 200)
    assert client.post(f"{staff.path}/restore", headers=staff.admin.headers).status_code == 403
    if status == 200:
        assert response.json["closed_at"] is None
        assert restore(client, staff).status_code == 200


def test_deletion_and_restoration_are_in_the_audit_log(client: Any, conn: Conn, staff: Staff) -> None:
    for _ in range(2):  # the second of each changes nothing
        close(client, conn, staff)
    for _ in range(2):
        restore(client, staff)

    entries = client.get(f"{staff.path}/audit", headers=staff.owner.headers).json["items"]
    assert [entry["action"] for entry in entries] == ["organization.restored", "organization.closed"]


def test_members_leave_a_closed_organization_also_the_last_owner(client: Any, conn: Conn, staff: Staff) -> None:
    close(client, conn, staff)
    members = f"{staff.path}/members"

    other = client.delete(f"{members}/{staff.admin.id}", headers=staff.owner.headers)
    assert other.status_code == 410
    for role in ("member", "owner"):
        assert client.delete(f"{members}/{staff[role].id}", headers=staff[role].headers).status_code == 204


@pytest.mark.parametrize("is_locked", [True, False], ids=["locked", "negative control"])
def test_an_invitation_is_not_accepted_during_a_deletion(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch, is_locked: bool
) -> None:
    """The accepting player waits for the deletion. Without the lock, the invitation is read before it."""
    invitation = make_invitation(conn, staff.org_id, staff.stranger.id)
    if not is_locked:
        monkeypatch.setattr(store, "lock", lambda *_: None)

    def accept() -> int:
        path = f"/invitations/{invitation}/accept"
        return int(app.test_client().post(path, headers=staff.stranger.headers).status_code)

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            own.execute("SELECT FROM organizations WHERE id = %s FOR NO KEY UPDATE", (staff.org_id,))
            closing.close(own, staff.org_id)
            accepting = threads.submit(accept)
            if is_locked:
                wait_until_blocked(conn)
            else:
                accepting.result(10)
        assert accepting.result(10) == (410 if is_locked else 200)


def restore_by_start_of_transaction(conn: Conn, org_id: UUID) -> bool:
    """The negative control: `now()` is the time at which the transaction began."""
    restored = conn.execute(
        """
        UPDATE organizations SET closed_at = NULL
        WHERE id = %s AND erased_at IS NULL AND closed_at > now() - interval '7 days'
        """,
        (org_id,),
    )
    return restored.rowcount == 1


@pytest.mark.parametrize(
    ("restore_row", "is_restored"), [(closing.restore, False), (restore_by_start_of_transaction, True)]
)
def test_an_organization_that_is_being_erased_is_not_restored(
    client: Any, conn: Conn, staff: Staff, restore_row: Callable[[Conn, UUID], bool], is_restored: bool
) -> None:
    """The owner's request began in time, and waits for a step of the erasure."""
    close(client, conn, staff)
    conn.execute("UPDATE organizations SET closed_at = now() - interval '7 days' + interval '300 milliseconds'")

    with ThreadPoolExecutor(1) as threads, db.transaction() as restoring:
        restoring.execute("SELECT now()")
        with db.transaction() as erasing:
            assert not closing.lock_due(erasing, staff.org_id)
            eventually(lambda: closing.lock_due(erasing, staff.org_id))

            def wait_and_restore() -> bool:
                store.lock(restoring, staff.org_id)
                return restore_row(restoring, staff.org_id)

            restored = threads.submit(wait_and_restore)
            wait_until_blocked(conn)
        assert restored.result(10) is is_restored


@pytest.mark.parametrize(("after", "restarts"), [(timedelta(0), True), (timedelta(days=1), False)])
def test_restore_starts_the_use_of_codes_again_unless_the_closing_was_ahead(
    conn: Conn, staff: Staff, after: timedelta, restarts: bool
) -> None:
    closing.close(conn, staff.org_id, after=after)
    assert closing.restore(conn, staff.org_id)
    row = conn.execute("SELECT restored_at IS NOT NULL FROM organizations WHERE id = %s", (staff.org_id,)).fetchone()
    assert row == (restarts,)
