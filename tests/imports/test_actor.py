"""Imports run by workers: chunk by chunk, added once, whatever becomes of the worker, and set aside if it was them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from shared.errors import NotFound
from shared.imports import commit, rules, staging, store
from shared.imports.rules import ImportJob, RowResult
from shared.infra import db, leases
from shared.infra.db import Conn
from tests.imports.factories import left, many, stored, table, upload
from tests.support.callers import Staff
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, make_org
from workers import cleanup
from workers import imports as worker
from workers.broker import worker_lifecycle

ROWS = 1_100
DROP = {"scan_type": "item_drop"}


class Killed(BaseException):
    """The process is gone in the middle of it."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CHUNK_SIZE", 300)


@pytest.fixture
def handed_in(client: Any, staff: Staff) -> Callable[..., UUID]:
    """Hands a file in for a worker."""

    def hand_in(data: bytes = b"", query: str = "") -> UUID:
        answer = upload(client, staff, data or many(ROWS), query=query)
        assert answer.status_code == 202
        return UUID(answer.json["id"])

    return hand_in


def find(conn: Conn, import_id: UUID) -> ImportJob:
    org_id = db.exactly_one(conn.execute("SELECT org_id FROM imports WHERE id = %s", (import_id,)))[0]
    found = store.find(conn, org_id, import_id)
    if found is None:
        raise NotFound
    return found


def end_leases(conn: Conn) -> None:
    conn.execute("UPDATE imports SET lease_until = now() WHERE finished_at IS NULL AND lease_until IS NOT NULL")


def killing(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The same, but it kills its process when it is called for the `at`-th time."""
    calls = 0

    def kill(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed
        return function(*args, **kwargs)

    return kill


@pytest.mark.parametrize("query", ["", "?partial=true"])
@pytest.mark.parametrize(
    ("place", "name", "at"),
    [
        (rules, "validate_row", 1),
        (rules, "validate_row", 700),
        (store, "record_progress", 3),
        (commit, "commit", 1),
        (store, "finish", 1),
    ],
    ids=str,
)
def test_a_killed_worker_adds_no_code_twice(
    conn: Conn,
    handed_in: Callable[..., UUID],
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    place: Any,
    name: str,
    at: int,
) -> None:
    import_id = handed_in(many(ROWS) + b"bad,chess\r\n" if query else b"", query)
    with monkeypatch.context() as deadly:
        deadly.setattr(place, name, killing(getattr(place, name), at))
        with pytest.raises(Killed):
            worker.run_pending()
    assert stored(conn) == set()
    worker.run_pending()
    assert not find(conn, import_id).is_finished, "leased by the dead"

    end_leases(conn)
    worker.run_pending()

    done = find(conn, import_id)
    assert (done.status, done.done, done.failed) == ("done", ROWS, bool(query))
    assert stored(conn) == {f"many-{k}" for k in range(ROWS)}
    assert left(conn) == 0


def test_progress_is_visible_while_an_import_runs(
    conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = handed_in(b"code,scan_type\r\n0-bad,chess\r\n" + many(ROWS - 1).split(b"\r\n", 1)[1])
    seen: list[tuple[Any, ...]] = []
    advance = store.record_progress

    def look(own: Conn, *args: Any, **kwargs: Any) -> None:
        told = find(conn, import_id)
        seen.append(
            (told.status, told.validated_rows, round(told.progress, 3), len(store.list_failures(conn, import_id)))
        )
        advance(own, *args, **kwargs)

    monkeypatch.setattr(store, "record_progress", look)
    worker.run_pending()

    assert seen == [
        ("running", 0, 0.0, 0),
        ("running", 300, 0.136, 1),
        ("running", 600, 0.273, 1),
        ("running", 900, 0.409, 1),
    ]
    told = find(conn, import_id)
    assert (told.status, told.done, told.failed) == ("failed", 0, 1)
    assert told.message == "1 row is invalid, of 1,100: nothing was added"
    assert told.outcomes[0]["line"] == 2
    assert {outcome["status"] for outcome in told.outcomes[1:]} == {"not_added"}
    assert stored(conn) == set()
    assert left(conn) == 0


def test_an_import_that_kills_three_workers_is_dead_lettered(
    conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the other one goes on."""
    deadly = handed_in(many(ROWS, "deadly"), "?partial=true")
    other = handed_in(many(ROWS, "other"))
    judge_row = rules.validate_row

    def die(columns: Any, row: Any, mint: Any) -> RowResult:
        if row.cells[0] == "deadly-700":
            raise Killed
        return judge_row(columns, row, mint)

    monkeypatch.setattr(rules, "validate_row", die)
    kills = 0
    while not (find(conn, deadly).is_finished and find(conn, other).is_finished):
        try:
            worker.run_pending()
        except Killed:
            kills += 1
            end_leases(conn)
        assert kills <= store.PENDING_IMPORTS.max_attempts

    assert kills == store.PENDING_IMPORTS.max_attempts
    told = find(conn, deadly)
    assert (told.status, told.done, told.message) == ("failed", 0, worker.DEAD_LETTER_MESSAGE)
    assert db.exactly_one(conn.execute("SELECT last_error FROM imports WHERE id = %s", (deadly,))) == (leases.CRASHED,)
    assert stored(conn) == {f"other-{k}" for k in range(ROWS)}
    assert left(conn) == 0


def test_an_import_that_fails_is_dead_lettered_with_its_error(
    conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = handed_in()

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(commit, "commit", fail)
    worker.run_pending()

    assert find(conn, import_id).status == "failed"
    assert db.exactly_one(conn.execute("SELECT last_error FROM imports")) == ("ZeroDivisionError: no such luck",)
    assert left(conn) == 0


def test_an_unavailable_database_costs_no_attempt(
    conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = handed_in()

    def go_away(*_: Any) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as broken:
        broken.setattr(commit, "commit", go_away)
        for _ in range(store.PENDING_IMPORTS.max_attempts + 1):
            with pytest.raises(psycopg.OperationalError):
                worker.run_pending()
    worker.run_pending()

    assert find(conn, import_id).status == "done"


def test_restarts_do_not_exhaust_an_import_with_progress(
    conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHUNK_SIZE", 150)
    import_id = handed_in()
    for _ in range(7):
        with monkeypatch.context() as deadly:
            deadly.setattr(rules, "validate_row", killing(rules.validate_row, 151))
            with pytest.raises(Killed):
                worker.run_pending()
        end_leases(conn)
    worker.run_pending()

    assert find(conn, import_id).status == "done"


def test_a_stopping_worker_releases_its_import(
    conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = handed_in()
    advance = store.record_progress

    def stop(*args: Any, **kwargs: Any) -> None:
        advance(*args, **kwargs)
        worker_lifecycle.stopping.set()

    with monkeypatch.context() as stopping:
        stopping.setattr(store, "record_progress", stop)
        worker.run_pending()
    worker_lifecycle.stopping.clear()
    assert find(conn, import_id).validated_rows == 300

    worker.run_pending()

    assert find(conn, import_id).status == "done"


class TestHaltedWorker:
    """Its lease is over; another has taken the import, and ended it. Then it goes on where it stood."""

    def run(self, conn: Conn, hand_in: Callable[..., UUID], patch: pytest.MonkeyPatch, place: str) -> ImportJob:
        import_id = hand_in(table(*[DROP] * ROWS))
        step = getattr(staging, place)

        def halt_behind(*args: Any, **kwargs: Any) -> Any:
            found = step(*args, **kwargs)
            patch.setattr(staging, place, step)
            end_leases(conn)
            worker.run_pending()
            assert find(conn, import_id).done == ROWS
            return found

        patch.setattr(staging, place, halt_behind)
        worker.run_pending()
        assert len(stored(conn)) == ROWS
        assert left(conn) == 0
        return find(conn, import_id)

    @pytest.mark.parametrize("place", ["next_rows", "analyze"])
    def test_changes_nothing(
        self, conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        found = self.run(conn, handed_in, monkeypatch, place)

        assert (found.status, found.done, len(found.outcomes)) == ("done", ROWS, 1_000)

    def test_negative_control_overwrites_the_outcome(
        self, conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "renew_lease", lambda own, _table, _token, import_id, _lease: find(own, import_id))

        found = self.run(conn, handed_in, monkeypatch, "analyze")

        assert (found.status, found.done, len(found.outcomes)) == ("done", 0, 0)


@pytest.mark.parametrize("query", ["", "?partial=true"])
def test_a_code_created_before_the_commit_is_taken(
    conn: Conn, handed_in: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Between the look at what is taken and the insertion. What leads to it falls as well."""
    data = many(ROWS).replace(b"code,scan_type", b"code,scan_type,destination_code").replace(b"drop\r", b"drop,\r")
    import_id = handed_in(data + b"lead,transportation,many-5\r\n", query)
    counts = commit._counts
    theirs = make_org(conn)

    def overtake(own: Conn, job_id: UUID) -> tuple[int, int]:
        counted = counts(own, job_id)
        if "many-5" not in stored(conn):
            make_code(conn, theirs, code="many-5")
        return counted

    monkeypatch.setattr(commit, "_counts", overtake)
    worker.run_pending()

    told = find(conn, import_id)
    failed = [(row["code"], row["field"], row["message"]) for row in told.outcomes if row["status"] == "failed"]
    assert failed[0] == ("many-5", "code", "is taken")
    assert [row[:2] for row in failed[1:]] == [("lead", "destination_code")]
    assert (told.status, told.done) == (("done", ROWS - 1) if query else ("failed", 0))
    assert len(stored(conn)) == (ROWS if query else 1)


def test_concurrent_imports_add_the_same_codes_once(app: Flask, conn: Conn, handed_in: Callable[..., UUID]) -> None:
    """In opposite orders: neither waits for the other for ever."""
    head, *rows = many(ROWS).splitlines(keepends=True)
    imports = [handed_in(head + b"".join(order), "?partial=true") for order in (rows, rows[::-1])]

    run_concurrently([worker.run_pending] * 2)
    worker.run_pending()

    told = [find(conn, import_id) for import_id in imports]
    assert {one.status for one in told} == {"done"}
    assert sum(one.done for one in told) == sum(one.failed for one in told) == ROWS
    assert len(stored(conn)) == ROWS


def test_finished_imports_are_purged_after_a_week(conn: Conn, handed_in: Callable[..., UUID]) -> None:
    imports = [handed_in(many(ROWS, prefix)) for prefix in ("old", "new", "open")]
    worker.run_pending()
    conn.execute("UPDATE imports SET finished_at = now() - interval '8 days' WHERE id = %s", (imports[0],))
    conn.execute("UPDATE imports SET finished_at = now() - interval '6 days' WHERE id = %s", (imports[1],))
    conn.execute("UPDATE imports SET finished_at = NULL, status = 'running' WHERE id = %s", (imports[2],))

    assert cleanup.purge_all().imports == 1
    assert {row[0] for row in conn.execute("SELECT id FROM imports")} == set(imports[1:])
    assert len(stored(conn)) == 3 * ROWS
