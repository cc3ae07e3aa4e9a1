"""Workers run imports chunk by chunk and add their codes once, also after crashes."""

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
from tests.imports.factories import many, staged_rows, stored, table, upload
from tests.support.callers import Staff, make_staff
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, make_org
from workers import cleanup
from workers import imports as worker
from workers.broker import worker_lifecycle

ROWS = 1_100
DROP = {"scan_type": "item_drop"}


class Killed(BaseException):
    """The process was killed."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CHUNK_SIZE", 300)


@pytest.fixture
def start_import(client: Any, staff: Staff) -> Callable[..., UUID]:
    """Uploads a file that a worker imports, and returns the id of the import."""

    def start(data: bytes = b"", query: str = "") -> UUID:
        response = upload(client, staff, data or many(ROWS), query=query)
        assert response.status_code == 202
        return UUID(response.json["id"])

    return start


def find(conn: Conn, import_id: UUID) -> ImportJob:
    org_id = db.exactly_one(conn.execute("SELECT org_id FROM imports WHERE id = %s", (import_id,)))[0]
    job = store.find(conn, org_id, import_id)
    if job is None:
        raise NotFound
    return job


def end_leases(conn: Conn) -> None:
    conn.execute("UPDATE imports SET lease_until = now() WHERE finished_at IS NULL AND lease_until IS NOT NULL")


def killing(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """Return the function, which kills its process at the call with this number, from 1."""
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
    ("module", "name", "at"),
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
    start_import: Callable[..., UUID],
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    module: Any,
    name: str,
    at: int,
) -> None:
    import_id = start_import(many(ROWS) + b"bad,chess\r\n" if query else b"", query)
    with monkeypatch.context() as deadly:
        deadly.setattr(module, name, killing(getattr(module, name), at))
        with pytest.raises(Killed):
            worker.run_pending()
    assert stored(conn) == set()
    worker.run_pending()
    assert not find(conn, import_id).is_finished, "its lease is active"

    end_leases(conn)
    worker.run_pending()

    job = find(conn, import_id)
    assert (job.status, job.done, job.failed) == ("done", ROWS, bool(query))
    assert stored(conn) == {f"many-{k}" for k in range(ROWS)}
    assert staged_rows(conn) == 0


def test_progress_is_visible_while_an_import_runs(
    conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = start_import(b"code,scan_type\r\n0-bad,chess\r\n" + many(ROWS - 1).split(b"\r\n", 1)[1])
    progress: list[tuple[Any, ...]] = []
    record_progress = store.record_progress

    def observe(own: Conn, *args: Any, **kwargs: Any) -> None:
        job = find(conn, import_id)
        progress.append(
            (job.status, job.validated_rows, round(job.progress, 3), len(store.list_failures(conn, import_id)))
        )
        record_progress(own, *args, **kwargs)

    monkeypatch.setattr(store, "record_progress", observe)
    worker.run_pending()

    assert progress == [
        ("running", 0, 0.0, 0),
        ("running", 300, 0.136, 1),
        ("running", 600, 0.273, 1),
        ("running", 900, 0.409, 1),
    ]
    job = find(conn, import_id)
    assert (job.status, job.done, job.failed) == ("failed", 0, 1)
    assert job.message == "1 of 1,100 rows is invalid. No code was added."
    assert job.outcomes[0]["line"] == 2
    assert {outcome["status"] for outcome in job.outcomes[1:]} == {"not_added"}
    assert stored(conn) == set()
    assert staged_rows(conn) == 0


def test_an_import_that_kills_three_workers_is_dead_lettered(
    conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the other one goes on."""
    deadly = start_import(many(ROWS, "deadly"), "?partial=true")
    other = start_import(many(ROWS, "other"))
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
    job = find(conn, deadly)
    assert (job.status, job.done, job.message) == ("failed", 0, worker.DEAD_LETTER_MESSAGE)
    assert db.exactly_one(conn.execute("SELECT last_error FROM imports WHERE id = %s", (deadly,))) == (leases.CRASHED,)
    assert stored(conn) == {f"other-{k}" for k in range(ROWS)}
    assert staged_rows(conn) == 0


def test_an_import_that_fails_is_dead_lettered_with_its_error(
    conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = start_import()

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(commit, "commit", fail)
    worker.run_pending()

    assert find(conn, import_id).status == "failed"
    assert db.exactly_one(conn.execute("SELECT last_error FROM imports")) == ("ZeroDivisionError: division by zero",)
    assert staged_rows(conn) == 0


def test_an_unavailable_database_costs_no_attempt(
    conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = start_import()

    def fail_to_connect(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as broken:
        broken.setattr(commit, "commit", fail_to_connect)
        for _ in range(store.PENDING_IMPORTS.max_attempts + 1):
            with pytest.raises(psycopg.OperationalError):
                worker.run_pending()
    worker.run_pending()

    assert find(conn, import_id).status == "done"


def test_restarts_do_not_exhaust_an_import_with_progress(
    conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHUNK_SIZE", 150)
    import_id = start_import()
    for _ in range(7):
        with monkeypatch.context() as deadly:
            deadly.setattr(rules, "validate_row", killing(rules.validate_row, 151))
            with pytest.raises(Killed):
                worker.run_pending()
        end_leases(conn)
    worker.run_pending()

    assert find(conn, import_id).status == "done"


def test_a_stopping_worker_releases_its_import(
    conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = start_import()
    record_progress = store.record_progress

    def stop(*args: Any, **kwargs: Any) -> None:
        record_progress(*args, **kwargs)
        worker_lifecycle.stopping.set()

    with monkeypatch.context() as stopping:
        stopping.setattr(store, "record_progress", stop)
        worker.run_pending()
    worker_lifecycle.stopping.clear()
    assert find(conn, import_id).validated_rows == 300

    worker.run_pending()

    assert find(conn, import_id).status == "done"


def test_imports_of_organizations_take_turns_after_each_chunk(
    app: Flask, conn: Conn, client: Any, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHUNK_SIZE", 600)
    first, second = start_import(many(ROWS, "first")), start_import(many(ROWS, "second"))
    worker.imports.run_new()
    other = UUID(upload(client, make_staff(app, conn), many(ROWS, "other")).json["id"])

    progress = []
    while worker.imports.run_new():
        jobs = [find(conn, each) for each in (first, second, other)]
        progress.append(tuple(job.validated_rows + job.done for job in jobs))

    assert progress[:5] == [(600, 0, 600), (1_100, 0, 600), (1_100, 0, 1_100), (2_200, 0, 1_100), (2_200, 0, 2_200)]
    assert progress[-1] == (2_200,) * 3


class TestHaltedWorker:
    """Its lease expired, and another worker finished the import. Then it resumes."""

    def run(self, conn: Conn, start: Callable[..., UUID], patch: pytest.MonkeyPatch, name: str) -> ImportJob:
        import_id = start(table(*[DROP] * ROWS))
        step = getattr(staging, name)

        def halt_after(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            patch.setattr(staging, name, step)
            end_leases(conn)
            worker.run_pending()
            assert find(conn, import_id).done == ROWS
            return result

        patch.setattr(staging, name, halt_after)
        worker.run_pending()
        assert len(stored(conn)) == ROWS
        assert staged_rows(conn) == 0
        return find(conn, import_id)

    @pytest.mark.parametrize("name", ["next_rows", "analyze"])
    def test_changes_nothing(
        self, conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        job = self.run(conn, start_import, monkeypatch, name)

        assert (job.status, job.done, len(job.outcomes)) == ("done", ROWS, 1_000)

    def test_negative_control_overwrites_the_outcome(
        self, conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "lock_one", lambda *_: None)

        job = self.run(conn, start_import, monkeypatch, "analyze")

        assert (job.status, job.done, len(job.outcomes)) == ("done", 0, 0)


@pytest.mark.parametrize("query", ["", "?partial=true"])
def test_a_code_created_before_the_commit_is_taken(
    conn: Conn, start_import: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """After the check for conflicts. Rows whose destination it is become invalid too."""
    data = many(ROWS).replace(b"code,scan_type", b"code,scan_type,destination_code").replace(b"drop\r", b"drop,\r")
    import_id = start_import(data + b"lead,transportation,many-5\r\n", query)
    counts = commit._counts
    other_org = make_org(conn)

    def create_code_meanwhile(own: Conn, job_id: UUID) -> tuple[int, int]:
        result = counts(own, job_id)
        if "many-5" not in stored(conn):
            make_code(conn, other_org, code="many-5")
        return result

    monkeypatch.setattr(commit, "_counts", create_code_meanwhile)
    worker.run_pending()

    job = find(conn, import_id)
    failed = [(row["code"], row["field"], row["message"]) for row in job.outcomes if row["status"] == "failed"]
    assert failed[0] == ("many-5", "code", "This code text is taken.")
    assert [row[:2] for row in failed[1:]] == [("lead", "destination_code")]
    assert (job.status, job.done) == (("done", ROWS - 1) if query else ("failed", 0))
    assert len(stored(conn)) == (ROWS if query else 1)


def test_concurrent_imports_add_the_same_codes_once(app: Flask, conn: Conn, start_import: Callable[..., UUID]) -> None:
    """In opposite orders, without a deadlock."""
    head, *rows = many(ROWS).splitlines(keepends=True)
    imports = [start_import(head + b"".join(order), "?partial=true") for order in (rows, rows[::-1])]

    run_concurrently([worker.run_pending] * 2)
    worker.run_pending()

    jobs = [find(conn, import_id) for import_id in imports]
    assert {job.status for job in jobs} == {"done"}
    assert sum(job.done for job in jobs) == sum(job.failed for job in jobs) == ROWS
    assert len(stored(conn)) == ROWS


def test_finished_imports_are_purged_after_a_week(conn: Conn, start_import: Callable[..., UUID]) -> None:
    imports = [start_import(many(ROWS, prefix)) for prefix in ("old", "new", "open")]
    worker.run_pending()
    conn.execute("UPDATE imports SET finished_at = now() - interval '8 days' WHERE id = %s", (imports[0],))
    conn.execute("UPDATE imports SET finished_at = now() - interval '6 days' WHERE id = %s", (imports[1],))
    conn.execute("UPDATE imports SET finished_at = NULL, status = 'running' WHERE id = %s", (imports[2],))

    assert cleanup.purge_all().imports == 1
    assert {row[0] for row in conn.execute("SELECT id FROM imports")} == set(imports[1:])
    assert len(stored(conn)) == 3 * ROWS
