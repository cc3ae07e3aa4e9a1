"""Renders whose workers crash, or lose the database."""

from collections import Counter
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared.infra.db import Conn
from shared.renders import assembly, chunks, pipeline, rules, store, zip_part
from tests.renders.factories import (
    add_render,
    decode_images,
    expire_leases,
    find,
    list_files,
    make_codes,
    read_file,
    urls,
    work,
)
from workers import renders as worker


def test_an_image_that_crashes_three_workers_is_dead_lettered(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = make_codes(conn, org, 6)
    render_id = add_render(conn, org, codes)
    render_verified = zip_part.render_verified

    def crash(job: Any, code: Any, logos: Any) -> bytes:
        """Leave the lease behind, as a killed process does."""
        if code.id == codes[3]:
            raise SystemExit
        return render_verified(job, code, logos)

    monkeypatch.setattr(zip_part, "render_verified", crash)
    crashes = 0
    while find(conn, render_id).status in rules.OPEN_STATUSES:
        try:
            work()
        except SystemExit:
            crashes += 1
            expire_leases(conn)

    # The first worker that crashes does not say with which image.
    assert crashes == 1 + rules.MAX_CRASHES
    job = find(conn, render_id)
    assert (job.status, job.done, job.failed) == ("done", 5, 1)
    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[3], zip_part.DEAD_LETTERED)]


@pytest.mark.usefixtures("small_chunks")
def test_a_crashed_worker_loses_only_its_unfinished_chunk(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = make_codes(conn, org, 9)
    render_id = add_render(conn, org, codes)
    rendered = Counter[UUID]()
    render_verified = zip_part.render_verified

    def crash_once(job: Any, code: Any, logos: Any) -> bytes:
        rendered[code.id] += 1
        if code.id == codes[4] and rendered[code.id] == 1:
            raise SystemExit
        return render_verified(job, code, logos)

    monkeypatch.setattr(zip_part, "render_verified", crash_once)
    with pytest.raises(SystemExit):
        work()
    assert find(conn, render_id).done == 3
    # Until the lease expires, its chunk is not claimed.
    work()
    assert find(conn, render_id).status == "running"
    expire_leases(conn)
    work()

    assert decode_images(read_file(conn, render_id)) == urls(conn, codes)
    assert [rendered[code] for code in codes] == [1, 1, 1, 2, 2, 1, 1, 1, 1]


def test_an_assembly_that_crashes_three_workers_fails_the_render(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise SystemExit

    render_id = add_render(conn, org, make_codes(conn, org, 2))
    monkeypatch.setattr(pipeline, "assemble_file", crash)
    for _ in range(rules.MAX_CRASHES):
        with pytest.raises(SystemExit):
            work()
        expire_leases(conn)
    work()

    job = find(conn, render_id)
    assert (job.status, job.reason) == ("failed", worker.ASSEMBLY_CRASHED)
    assert list_files(render_id) == []


ATTEMPTS = {
    chunks: "SELECT attempts, lease_until FROM render_chunks",
    assembly: "SELECT attempts, lease_until FROM render_jobs",
}


@pytest.mark.parametrize("module", ATTEMPTS, ids=["chunk", "assembly"])
def test_an_unavailable_database_costs_no_attempt(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    def fail(*_: Any) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    render_id = add_render(conn, org, make_codes(conn, org, 2))
    with monkeypatch.context() as patch:
        patch.setattr(module, "finish", fail)
        with pytest.raises(psycopg.OperationalError):
            work()
    assert conn.execute(ATTEMPTS[module]).fetchone() == (0, None)
    work()
    assert find(conn, render_id).status == "done"
