"""Erasures while workers, running requests and other erasures change the same rows."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask

from shared.accounts import erasure, store
from shared.audit import store as audit
from shared.audit.store import OPERATOR, Actor
from shared.infra import db, idempotency
from shared.infra.db import Conn
from shared.scans import rules
from shared.scans.rules import Scan
from tests.accounts.personal_data import HERE, KNOWN, NAME, Life, erase, find_traces, keyed, live
from tests.quests.scan_quests import visit
from tests.renders.factories import make_render
from tests.support.callers import make_staff, sign_in
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import make_code, make_org, submit_scan
from tests.support.polling import eventually
from workers import erasure as finishing
from workers import scans as judging
from workers.erasure import finish_erasures
from workers.scans import judge_pending


@pytest.fixture
def life(app: Flask, conn: Conn) -> Life:
    return live(app, conn)


def test_a_worker_erases_scans_beyond_the_limit_of_the_request(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "SCANS_PER_REQUEST", 2)
    monkeypatch.setattr(finishing, "BATCH", 2)
    ada = sign_in(app, conn)
    code = make_code(conn, per_player_limit=None)
    for _ in range(7):
        visit(conn, ada.id, code, coordinates=HERE)

    def count_with_coordinates() -> Any:
        return db.exactly_one(conn.execute("SELECT count(*) FROM player_scans WHERE latitude IS NOT NULL"))[0]

    assert erase(client, ada).status_code == 204
    assert count_with_coordinates() == 5
    finish_erasures()
    assert count_with_coordinates() == 0


def test_a_pending_scan_gets_its_verdict_and_is_erased(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn)
    scan_id = submit_scan(conn, ada.id, make_code(conn), HERE, accuracy_m=12.3456)

    erase(client, ada)
    judge_pending()

    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (scan_id,)).fetchone() == ("success",)
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (1,)
    finish_erasures()
    assert find_traces(conn, "4.8926891", "12.3456") == []


def test_the_error_of_a_scan_that_failed_to_be_judged_is_erased(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages of PostgreSQL quote the row: its coordinates are in `last_error`."""
    ada = sign_in(app, conn)
    submit_scan(conn, ada.id, make_code(conn), HERE)

    def fail(scans: list[Scan], *_: Any) -> Any:
        raise ValueError(f"Failing row contains ({scans[0].coordinates})")

    with monkeypatch.context() as patches:
        patches.setattr(rules, "judge_all", fail)
        judge_pending()
    assert {column for column, _ in find_traces(conn, "4.8926891")} == {"player_scans"}
    assert conn.execute("SELECT reason, last_error FROM player_scans").fetchone() == (
        "not_judged",
        "ValueError: Failing row contains (Coordinates(latitude=52.3731237, longitude=4.8926891))",
    )

    erase(client, ada)
    finish_erasures()
    assert find_traces(conn, "4.8926891") == []


def test_an_erasure_does_not_deadlock_with_judging(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has locked the scan and waits for the player, which the erasure has locked."""
    ada = sign_in(app, conn)
    submit_scan(conn, ada.id, make_code(conn, coordinates=HERE), HERE, accuracy_m=12.3456)
    with ThreadPoolExecutor(1) as threads, db.transaction() as own:
        assert store.lock_account(own, ada.id) is not None
        judging_ = threads.submit(judging.scans.run_new)
        wait_until_blocked(conn)
        erasure.erase(own, ada.id, {})
        own.execute("SAVEPOINT not_aborted")
    assert judging_.result(20) == 1
    assert conn.execute("SELECT status FROM player_scans").fetchone() == ("success",)
    finish_erasures()
    assert find_traces(conn, str(HERE.latitude) + "x", "12.3456") == []
    assert conn.execute("SELECT latitude, distance_m, decision_inputs FROM player_scans").fetchone() == (
        None,
        None,
        None,
    )


def test_an_erasure_finishes_when_no_earlier_request_can_be_running(app: Flask, client: Any, conn: Conn) -> None:
    """A request that was authorized before the erasure submits a scan after it."""
    ada = sign_in(app, conn)
    erase(client, ada)
    submit_scan(conn, ada.id, make_code(conn), HERE)
    finish_erasures()
    assert find_traces(conn, "4.8926891") == []
    assert erasure.list_pending(conn) == [ada.id]

    conn.execute("UPDATE pending_erasures SET started_at = now() - interval '11 minutes'")
    finish_erasures()
    # The scan is still pending.
    assert erasure.list_pending(conn) == [ada.id]
    judge_pending()
    finish_erasures()
    assert erasure.list_pending(conn) == []


def test_rows_of_a_request_that_commits_later_are_erased(app: Flask, client: Any, conn: Conn) -> None:
    """Requests that were authorized before the erasure commit after it."""
    ada = sign_in(app, conn)
    erase(client, ada)
    conn.execute(
        """
        INSERT INTO generated_codes (created_by, data, format, size, error_correction)
        VALUES (%s, 'text-by-ada', 'png', 300, 'M')
        """,
        (ada.id,),
    )
    render = make_render(conn, make_org(conn), make_code(conn))
    conn.execute("UPDATE render_jobs SET requested_by = %s WHERE id = %s", (ada.id, render))
    actor = Actor("player", ada.id, "192.0.2.1", "request-of-ada")
    audit.record(conn, actor, "organization.created", org_id=uuid4(), new={"name": "Museum"})

    finish_erasures()

    assert find_traces(conn, "text-by-ada", "192.0.2.1", "request-of-ada") == []
    assert conn.execute("SELECT requested_by FROM render_jobs").fetchone() == (None,)
    assert conn.execute("SELECT new FROM audit_log WHERE action = 'organization.created'").fetchone() == (
        {"name": "Museum"},
    )


def test_a_failed_erasure_does_not_stop_the_others(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    for player in (ada, grace):
        erase(client, player)
        submit_scan(conn, player.id, make_code(conn), HERE)
    judge_pending()
    conn.execute("UPDATE pending_erasures SET started_at = started_at - interval '11 minutes'")
    erase_traces = erasure.erase_traces

    def fail_for_ada(conn: Conn, player_id: UUID) -> None:
        if player_id == ada.id:
            raise psycopg.DataError
        erase_traces(conn, player_id)

    monkeypatch.setattr(erasure, "erase_traces", fail_for_ada)

    finish_erasures()

    assert erasure.list_pending(conn) == [ada.id]


def test_stored_responses_that_name_the_player_are_erased_by_an_index(app: Flask, client: Any, conn: Conn) -> None:
    """20,000 responses of other callers are not read, and those that name other players remain."""
    staff, ada = make_staff(app, conn), sign_in(app, conn, NAME)
    sign_in(app, conn, "grace")
    for name in (NAME, "grace"):
        body, headers = {"username": name, "role": "member"}, staff.owner.headers | keyed()
        assert client.post(f"{staff.path}/members", json=body, headers=headers).status_code == 202
    conn.execute(
        """
        INSERT INTO idempotency_keys (caller_id, key, request_digest, response_status, response_headers, response_body)
        SELECT gen_random_uuid(), 'k', '', 201, '{}', '{"id": "' || n || '"}' FROM generate_series(1, 20000) n
        """
    )
    conn.execute("ANALYZE idempotency_keys")

    plan = conn.execute("EXPLAIN " + idempotency.ERASE_RESPONSES, {"player_id": ada.id}).fetchall()
    erase(client, ada)

    assert "idempotency_keys_player" in str(plan)
    assert "Seq Scan on idempotency_keys" not in str(plan)
    assert find_traces(conn, NAME) == []
    assert ("idempotency_keys", "grace") in find_traces(conn, "grace")


def test_erased_rows_are_not_written_again(client: Any, conn: Conn, life: Life) -> None:
    """The worker looks at pending erasures once a minute."""

    def versions() -> list[Any]:
        return [
            conn.execute(f"SELECT xmin::text, {row} FROM {table} ORDER BY {row}").fetchall()
            for table, row in (("audit_log", "id"), ("events", "id"), ("player_scans", "id"))
        ]

    erase(client, life.ada, **KNOWN)
    before = versions()
    assert all(before)

    finish_erasures()

    assert versions() == before


def count_waiting(conn: Conn) -> int:
    """Return how many connections wait for a lock."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return int(db.exactly_one(conn.execute(statement))[0])


def test_players_who_acted_on_each_other_can_be_erased_concurrently(app: Flask, conn: Conn) -> None:
    """Each has audit log entries about the other. Both erasures lock the entries in the order of their ids."""
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    org_id = uuid4()
    audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=ada.id, new={"sessions": 1})
    for actor, other in ((ada, grace), (grace, ada)):
        player = Actor("player", actor.id, "192.0.2.1", "r")
        audit.record(conn, player, "member.added", org_id=org_id, object_id=other.id, new={"role": "owner"})
    with ThreadPoolExecutor(2) as threads:
        with db.transaction() as blocking:
            blocking.execute("SELECT FROM audit_log WHERE actor_kind = 'operator' FOR NO KEY UPDATE")
            first = threads.submit(erase, app.test_client(), ada)
            wait_until_blocked(conn)
            second = threads.submit(erase, app.test_client(), grace)
            eventually(lambda: second.done() or count_waiting(conn) == 2)
        assert [first.result(20).status_code, second.result(20).status_code] == [204, 204]
    assert find_traces(conn, "192.0.2.1") == []
