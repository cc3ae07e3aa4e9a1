"""Erasure beside what else goes on: scans beyond the request, workers, requests that ran on, other erasures."""

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
from tests.accounts.personal_data import HERE, KNOWN, NAME, Life, erase, found, keyed, live
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


def test_scans_beyond_those_of_the_request_are_forgotten_by_a_worker(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "SCANS_PER_REQUEST", 2)
    monkeypatch.setattr(finishing, "BATCH", 2)
    ada = sign_in(app, conn)
    code = make_code(conn, per_player_limit=None)
    for _ in range(7):
        visit(conn, ada.id, code, place=HERE)

    def left() -> Any:
        return db.exactly_one(conn.execute("SELECT count(*) FROM player_scans WHERE latitude IS NOT NULL"))[0]

    assert erase(client, ada).status_code == 204
    assert left() == 5
    finish_erasures()
    assert left() == 0


def test_a_scan_that_waits_gets_its_one_verdict_and_leaves_nothing(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn)
    scan_id = submit_scan(conn, ada.id, make_code(conn), HERE, accuracy_m=12.3456)

    erase(client, ada)
    judge_pending()

    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (scan_id,)).fetchone() == ("success",)
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (1,)
    finish_erasures()
    assert found(conn, "4.8926891", "12.3456") == []


def test_an_erasure_does_not_wait_for_a_worker_nor_a_worker_for_it(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker holds the scan and wants its player, whom the erasure holds: who waited here would wait for ever."""
    ada = sign_in(app, conn)
    submit_scan(conn, ada.id, make_code(conn, place=HERE), HERE, accuracy_m=12.3456)
    with ThreadPoolExecutor(1) as threads, db.transaction() as own:
        assert store.lock_account(own, ada.id) is not None
        judged = threads.submit(judging.scans.run_new)
        wait_until_blocked(conn)
        erasure.erase(own, ada.id)
        own.execute("SAVEPOINT still_alive")
    assert judged.result(20) == 1
    assert conn.execute("SELECT status FROM player_scans").fetchone() == ("success",)
    finish_erasures()
    assert found(conn, str(HERE.latitude) + "x", "12.3456") == []
    assert conn.execute("SELECT latitude, distance_m, decision_inputs FROM player_scans").fetchone() == (
        None,
        None,
        None,
    )


def test_it_is_over_when_no_request_of_theirs_can_be_running_any_more(app: Flask, client: Any, conn: Conn) -> None:
    """Given a scan of theirs that had passed the gate before, and comes late."""
    ada = sign_in(app, conn)
    erase(client, ada)
    submit_scan(conn, ada.id, make_code(conn), HERE)
    finish_erasures()
    assert found(conn, "4.8926891") == []  # judged later, without
    assert erasure.list_pending(conn) == [ada.id]

    conn.execute("UPDATE pending_erasures SET started_at = now() - interval '11 minutes'")
    finish_erasures()
    assert erasure.list_pending(conn) == [ada.id]  # the scan waits for its verdict
    judge_pending()
    finish_erasures()
    assert erasure.list_pending(conn) == []


def test_what_a_request_that_ran_on_has_stored_is_forgotten(app: Flask, client: Any, conn: Conn) -> None:
    """Given requests of theirs that had passed the gate before, and are committed after the erasure."""
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
    address = Actor("player", ada.id, "192.0.2.1", "request-of-ada")
    audit.record(conn, address, "organization.created", org_id=uuid4(), new={"name": "Museum"})

    finish_erasures()

    assert found(conn, "text-by-ada", "192.0.2.1", "request-of-ada") == []
    assert conn.execute("SELECT requested_by FROM render_jobs").fetchone() == (None,)
    assert conn.execute("SELECT new FROM audit_log WHERE action = 'organization.created'").fetchone() == (
        {"name": "Museum"},
    )


def test_who_cannot_be_forgotten_yet_does_not_keep_the_others(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    for person in (ada, grace):
        erase(client, person)
        submit_scan(conn, person.id, make_code(conn), HERE)
    judge_pending()
    conn.execute("UPDATE pending_erasures SET started_at = started_at - interval '11 minutes'")
    forget_traces = erasure.erase_traces

    def broken_for_ada(conn: Conn, player_id: UUID) -> None:
        if player_id == ada.id:
            raise psycopg.DataError
        forget_traces(conn, player_id)

    monkeypatch.setattr(erasure, "erase_traces", broken_for_ada)

    finish_erasures()

    assert erasure.list_pending(conn) == [ada.id]


def test_answers_that_tell_of_them_are_found_by_an_index(app: Flask, client: Any, conn: Conn) -> None:
    """However many answers of others a day has; and of those that tell of somebody, only theirs are changed."""
    staff, ada = make_staff(app, conn), sign_in(app, conn, NAME)
    sign_in(app, conn, "grace")
    for name in (NAME, "grace"):
        body, headers = {"username": name, "role": "member"}, staff.owner.headers | keyed()
        assert client.post(f"{staff.path}/members", json=body, headers=headers).status_code == 201
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
    assert found(conn, NAME) == []
    assert ("idempotency_keys", "grace") in found(conn, "grace")


def test_what_is_forgotten_already_is_not_written_again(client: Any, conn: Conn, life: Life) -> None:
    """The worker looks through it all once a minute."""

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


def waiting(conn: Conn) -> int:
    """How many sessions wait for a lock."""
    told = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return int(db.exactly_one(conn.execute(told))[0])


def test_people_who_acted_on_each_other_may_go_at_the_same_moment(app: Flask, conn: Conn) -> None:
    """Each has lines about the other. One of them has found some, and is held by a line that comes before those."""
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    org_id = uuid4()
    audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=ada.id, new={"logins": 1})
    for actor, other in ((ada, grace), (grace, ada)):
        by = Actor("player", actor.id, "192.0.2.1", "r")
        audit.record(conn, by, "member.added", org_id=org_id, object_id=other.id, new={"role": "owner"})
    with ThreadPoolExecutor(2) as threads:
        with db.transaction() as held:
            held.execute("SELECT FROM audit_log WHERE actor_kind = 'operator' FOR NO KEY UPDATE")
            first = threads.submit(erase, app.test_client(), ada)
            wait_until_blocked(conn)
            second = threads.submit(erase, app.test_client(), grace)
            eventually(lambda: second.done() or waiting(conn) == 2)
        assert [first.result(20).status_code, second.result(20).status_code] == [204, 204]
    assert found(conn, "192.0.2.1") == []
