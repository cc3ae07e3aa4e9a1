"""The progress of a render: counters that always equal the sums over its chunks, and cost one row each."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.infra import db, leases
from shared.infra.db import Conn, exactly_one
from shared.renders import assembly, chunks, store
from shared.renders.chunks import Chunk
from shared.renders.rules import RenderOptions
from shared.renders.store import FailedCode
from tests.renders.factories import add_render, events, make_codes, work
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_org

LEASE = timedelta(minutes=1)


def request_render(conn: Conn, codes: int) -> tuple[UUID, UUID]:
    """A render of codes that do not exist: its chunks are finished without rendering."""
    org_id = make_org(conn)
    with db.transaction() as own:
        return org_id, store.add(own, org_id, None, RenderOptions(), [uuid4() for _ in range(codes)])


def claim_chunk(token: UUID) -> Chunk | None:
    """Lease the next chunk, of those that no worker has tried or of the others."""
    with db.connection() as conn:
        claimed = leases.claim_new(conn, chunks.PENDING_CHUNKS, token, LEASE, limit=1)
        claimed = claimed or leases.claim_retry(conn, chunks.PENDING_CHUNKS, token, LEASE)
        return chunks.start(conn, token, claimed[0]) if claimed else None


def finish_chunk(failed: int = 0) -> bool | None:
    """Claim and finish a chunk. Return whether it was the last one, None if none is pending."""
    token = uuid4()
    chunk = claim_chunk(token)
    if chunk is None:
        return None
    errors = [FailedCode(qr_id, "no image") for qr_id in chunk.qr_ids[:failed]]
    with db.transaction() as conn:
        return chunks.finish(conn, token, chunk, f"part-{chunk.job_id}-{chunk.number}-{token}", errors)


def assert_counters_match(conn: Conn) -> None:
    differing = conn.execute(
        """
        SELECT j.done_codes, j.failed_codes, j.open_chunks, c.* FROM render_jobs j CROSS JOIN LATERAL (
            SELECT coalesce(sum(done), 0) AS done, coalesce(sum(failed), 0) AS failed,
                   count(*) FILTER (WHERE status = 'pending') AS pending
            FROM render_chunks WHERE job_id = j.id
        ) c
        WHERE (j.done_codes, j.failed_codes, j.open_chunks) IS DISTINCT FROM (c.done, c.failed, c.pending)
        """
    ).fetchall()
    assert differing == []


@pytest.mark.usefixtures("small_chunks")
def test_finishing_a_chunk_touches_no_other_chunk(conn: Conn) -> None:
    """However many chunks the render has. PostgreSQL counts the rows read: one for the lease, one for the write."""
    request_render(conn, 3 * 500)
    token = uuid4()
    chunk = claim_chunk(token)
    assert chunk is not None
    conn.execute("ANALYZE render_chunks")
    touched = """
        SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
        WHERE relname = 'render_chunks'
    """
    with db.transaction() as own:
        before = exactly_one(own.execute(touched))[0]
        assert not chunks.finish(own, token, chunk, "part", [])
        assert exactly_one(own.execute(touched))[0] - before == 2


STEPS = st.one_of(
    st.tuples(st.just("finish"), st.integers(0, 3)),
    st.tuples(st.just("lose parts"), st.sets(st.integers(0, 4), min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["release", "retry later", "cancel"]), st.none()),
)


@pytest.mark.usefixtures("small_chunks")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=3, max_size=25), codes=st.integers(1, 13))
def test_counters_equal_the_sums_over_all_chunks(
    conn: Conn, steps: list[tuple[str, int | set[int] | None]], codes: int
) -> None:
    """After every step, whatever came before it: also where parts are lost and rendered again."""
    conn.execute("DELETE FROM render_jobs")
    org_id, render_id = request_render(conn, codes)
    assert_counters_match(conn)
    for step, detail in steps:
        match step, detail:
            case "finish", int(failed):
                finish_chunk(failed)
            case "lose parts", set(numbers):
                lose_parts(conn, numbers)
            case "cancel", _:
                with db.transaction() as own:
                    store.cancel(own, org_id, render_id)
            case _:
                put_down_chunk(conn, retry=step == "retry later")
        assert_counters_match(conn)


def lose_parts(conn: Conn, numbers: set[int]) -> None:
    """If all chunks are done, let the assembly miss some of their parts."""
    token = uuid4()
    claimed = leases.claim_new(conn, assembly.PENDING_ASSEMBLIES, token, LEASE, limit=1)
    claimed = claimed or leases.claim_retry(conn, assembly.PENDING_ASSEMBLIES, token, LEASE)
    if claimed:
        parts = assembly.list_parts(conn, claimed[0].id)
        missing = [part for number, part in enumerate(parts) if number in numbers]
        with db.transaction() as own:
            assembly.rerender_missing_parts(own, token, claimed[0], missing, "lost")


def put_down_chunk(conn: Conn, *, retry: bool) -> None:
    token = uuid4()
    chunk = claim_chunk(token)
    if chunk is not None and retry:
        with db.transaction() as own:
            chunks.retry_later(own, token, chunk, timedelta(), "storage")
    elif chunk is not None:
        leases.release_lease(conn, chunks.PENDING_CHUNKS, token)


@pytest.mark.usefixtures("small_chunks")
def test_one_of_many_concurrent_workers_finishes_the_last_chunk(conn: Conn) -> None:
    request_render(conn, 3 * 24)

    last = run_concurrently([finish_chunk] * 24)

    assert sorted(last, key=bool) == [False] * 23 + [True]
    assert exactly_one(conn.execute("SELECT done_codes, open_chunks FROM render_jobs")) == (72, 0)
    assert_counters_match(conn)


@pytest.mark.usefixtures("small_chunks")
def test_every_chunk_and_the_end_append_an_event(conn: Conn, org: UUID) -> None:
    render_id = add_render(conn, org, make_codes(conn, org, 7))

    work()

    progress = events(conn)
    assert [kind for kind, _ in progress] == ["render_progress"] * 3 + ["render_done"]
    assert [data["done"] for _, data in progress] == [3, 6, 7, 7]
    assert progress[-1][1] == {
        "render_id": str(render_id), "status": "done", "total": 7, "done": 7, "failed": 0, "progress": 1.0,
    }  # fmt: skip
    assert conn.execute("SELECT DISTINCT org_id FROM events").fetchall() == [(org,)]
