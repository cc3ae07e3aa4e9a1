"""Races over quests of organizations: two creations of one name, and a deletion beside the first progress."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.quests import definitions, organization_quests, scan_progress
from shared.quests.organization_quests import QuestHasProgress
from tests.quests.scan_quests import assert_in_order, come_to, make_landmarks, visit
from tests.support.callers import SignedInPlayer, Staff, make_staff
from tests.support.concurrency import run_concurrently
from tests.support.factories import list_items, make_player
from tests.support.polling import eventually

WALK = {"name": "walk", "streak": 1, "tags": ["landmark"], "active": True}
BADGE = {"item": "badge", "quantity": 1}


def create(client: Any, staff: Staff, **fields: Any) -> Any:
    return client.post(f"{staff.path}/quests", json=WALK | fields, headers=staff.admin.headers)


def test_of_concurrent_creations_of_a_name_one_succeeds(app: Flask, conn: Conn) -> None:
    organizations = [make_staff(app, conn) for _ in range(4)]
    clients = [(app.test_client(), staff) for staff in organizations * 2]
    created = run_concurrently([lambda pair=pair: create(*pair, reward=BADGE).status_code for pair in clients])  # type: ignore[misc]
    assert Counter(created) == {201: 1, 409: 7}
    assert conn.execute("SELECT count(*) FROM rewards").fetchone() == (1,)


def test_concurrent_files_with_the_same_names_do_not_wait_for_each_other(app: Flask, conn: Conn) -> None:
    names = [f"walk-{number}" for number in range(20)]

    def upload(staff: Staff, order: list[str]) -> int:
        document = "quests:\n" + "".join(f"- {{name: {name}, streak: 1, tags: [x]}}\n" for name in order)
        headers = staff.admin.headers | {"Content-Type": "application/yaml"}
        return int(app.test_client().post(f"{staff.path}/quests", data=document, headers=headers).status_code)

    first, second = make_staff(app, conn), make_staff(app, conn)
    uploads = [lambda: upload(first, names), lambda: upload(second, names[::-1])]
    assert sorted(run_concurrently(uploads)) == [201, 409]
    assert conn.execute("SELECT count(DISTINCT org_id), count(*) FROM quests").fetchone() == (1, 20)


def is_blocked(conn: Conn) -> bool:
    """Return whether a session waits for a lock of PostgreSQL."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(conn.execute(waiting).rowcount)


def delete_beside_a_scan(conn: Conn, staff: Staff) -> tuple[UUID, str]:
    """Delete the quest while a transaction writes its first progress. Return the player, and the result."""
    player = make_player(conn)
    (code,) = make_landmarks(conn, staff.org_id, 1)
    with conn.transaction():
        conn.execute("UPDATE quests SET active = false")
    scan_id = visit(conn, player, code)
    conn.execute("UPDATE quests SET active = true")

    def delete() -> str:
        with db.transaction() as own:
            organization_quests.lock(own, staff.org_id, "walk")
            try:
                organization_quests.delete(own, staff.org_id, "walk")
            except QuestHasProgress:
                return "has progress"
            return "deleted"

    with ThreadPoolExecutor(1) as pool:
        with db.transaction() as settling:
            scan_progress.advance(settling, [scan_id])
            deletion = pool.submit(delete)
            eventually(lambda: deletion.done() or is_blocked(conn))
        return player, deletion.result()


def test_deletion_waits_for_the_first_progress(client: Any, conn: Conn, staff: Staff) -> None:
    create(client, staff)
    player, result = delete_beside_a_scan(conn, staff)
    assert result == "has progress"
    assert come_to(conn, player) == (0, 1, 0)
    assert definitions.find(conn, "walk") is not None


def test_negative_control_without_the_lock_progress_is_orphaned(client: Any, conn: Conn, staff: Staff) -> None:
    create(client, staff)
    without_lock = scan_progress.SELECT_MATCHES.replace("FOR KEY SHARE OF q", "")
    with patch.object(scan_progress, "SELECT_MATCHES", without_lock):
        player, result = delete_beside_a_scan(conn, staff)
    assert result == "deleted"
    assert come_to(conn, player) == (0, 1, 0)
    assert definitions.find(conn, "walk") is None


def test_scan_after_a_deletion_finds_no_quest(client: Any, conn: Conn, staff: Staff) -> None:
    """The scan has read the quest, and waits for the deletion."""
    create(client, staff)
    player = make_player(conn)
    (code,) = make_landmarks(conn, staff.org_id, 1)
    with ThreadPoolExecutor(1) as pool:
        with db.transaction() as deleting:
            organization_quests.lock(deleting, staff.org_id, "walk")
            organization_quests.delete(deleting, staff.org_id, "walk")
            scan = pool.submit(visit, conn, player, code)
            eventually(lambda: is_blocked(deleting))
        scan.result()
    assert come_to(conn, player) == (0, 0, 0)
    assert list_items(conn, player) == [("gem", 1)]


@pytest.mark.parametrize("changes", [{"streak": 2}, {"reward": {"item": "medal", "quantity": 2}}, {"active": False}])
def test_changes_race_scans_and_claims(
    app: Flask, client: Any, conn: Conn, staff: Staff, changes: dict[str, Any]
) -> None:
    create(client, staff, streak=3, duplication=100, reward=BADGE)
    codes = make_landmarks(conn, staff.org_id, 4)
    player = staff.member
    for code in codes[:2]:
        visit(conn, player.id, code)

    def scan() -> int:
        with db.connection() as own:
            for code in codes[2:]:
                visit(own, player.id, code)
        return 200

    def change() -> int:
        path = f"{staff.path}/quests/walk"
        return int(app.test_client().patch(path, json=changes, headers=staff.admin.headers).status_code)

    def claim() -> int:
        body = {"quest_name": "walk"}
        path = "/api/v1/track/claim_reward"
        return int(app.test_client().post(path, json=body, headers=player.headers).status_code)

    results = run_concurrently([scan, change, claim, claim, claim])
    assert results[:2] == [200, 200]
    assert set(results[2:]) <= {200, 409}
    claims = results[2:].count(200) + [claim() for _ in range(5)].count(200)
    _, completions, claimed = come_to(conn, player.id)
    assert claims == claimed == completions
    assert_in_order(conn)


def test_a_hundred_claims_of_a_completion_pay_once(
    app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    create(client, staff, reward=BADGE)
    visit(conn, ada.id, make_landmarks(conn, staff.org_id, 1)[0])
    body = {"quest_name": "walk"}

    def claim() -> int:
        path = "/api/v1/track/claim_reward"
        return int(app.test_client().post(path, json=body, headers=ada.headers).status_code)

    assert Counter(run_concurrently([claim] * 100)) == {200: 1, 409: 99}
    assert ("badge", 1) in list_items(conn, ada.id)
    assert_in_order(conn)
