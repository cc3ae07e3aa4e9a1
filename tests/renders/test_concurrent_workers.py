"""Workers that render side by side, lose their lease, or work on a canceled render."""

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra import db, leases
from shared.infra.db import Conn
from shared.infra.leases import LeaseLost
from shared.renders import chunks, pipeline, store, zip_part
from tests.renders.factories import (
    add_render,
    assemble_one,
    decode_images,
    events,
    expire_leases,
    find,
    list_files,
    make_codes,
    read_file,
    render_one_chunk,
    urls,
    work,
)
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_org
from workers import renders as worker

LEASE = timedelta(seconds=30)


@pytest.mark.usefixtures("small_chunks")
def test_concurrent_workers_render_each_image_and_each_file_once(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered, assembled = Counter[str](), Counter[UUID]()
    render_verified, assemble_file = zip_part.render_verified, pipeline.assemble_file

    def count_image(job: Any, code: Any, logos: Any) -> bytes:
        rendered[f"{job.id} {code.id}"] += 1
        return render_verified(job, code, logos)

    def count_file(files: Any, job: Any, *arguments: Any) -> Any:
        assembled[job.id] += 1
        return assemble_file(files, job, *arguments)

    monkeypatch.setattr(zip_part, "render_verified", count_image)
    monkeypatch.setattr(pipeline, "assemble_file", count_file)
    codes = make_codes(conn, org, 20)
    renders = [add_render(conn, org, codes) for _ in range(3)]

    run_concurrently([work] * 4)
    work()

    assert set(rendered.values()) == {1}
    assert len(rendered) == 60
    assert assembled == dict.fromkeys(renders, 1)
    assert all(decode_images(read_file(conn, render_id)) == urls(conn, codes) for render_id in renders)


@pytest.mark.usefixtures("small_chunks")
def test_a_small_render_does_not_wait_for_a_large_one(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 30)
    large = add_render(conn, org, codes)
    small = add_render(conn, org, codes[:2])

    for _ in range(2):
        render_one_chunk()
    assemble_one()

    assert find(conn, small).status == "done"
    assert find(conn, large).status == "running"


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("sizes", [[60], [1] * 20], ids=["one large render", "many small renders"])
def test_the_renders_of_another_organization_delay_a_code_by_one_chunk(conn: Conn, org: UUID, sizes: list[int]) -> None:
    codes = make_codes(conn, org, max(sizes))
    for size in sizes:
        add_render(conn, org, codes[:size])
    render_one_chunk()
    assemble_one()
    other_org = make_org(conn)
    render_id = add_render(conn, other_org, make_codes(conn, other_org, 1))

    render_one_chunk()
    assemble_one()

    assert find(conn, render_id).status == "done"


def test_assemblies_take_turns(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 1)
    first, second = (add_render(conn, org, codes) for _ in range(2))
    other_org = make_org(conn)
    other = add_render(conn, other_org, make_codes(conn, other_org, 1))
    while render_one_chunk():
        pass

    ended = []
    while assemble_one():
        ended += [each for each in (first, second, other) if find(conn, each).status == "done" and each not in ended]

    assert ended == [first, other, second]


# Lost leases ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["guarded", "negative control"])
def is_guarded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """False if writes do not check the lease."""
    if not request.param:
        monkeypatch.setattr(leases, "lock_one", lambda *_: None)
    return bool(request.param)


@pytest.mark.usefixtures("small_chunks")
def test_a_worker_without_its_lease_cannot_finish_a_chunk(conn: Conn, org: UUID, is_guarded: bool) -> None:
    # Other chunks are pending, so the counters of the render could count this chunk twice.
    codes = make_codes(conn, org, 7)
    render_id = add_render(conn, org, codes)
    late = uuid4()
    claimed = leases.claim_new(conn, chunks.PENDING_CHUNKS, late, LEASE, limit=9)
    chunk = min(claimed, key=lambda chunk: chunk.number)
    expire_leases(conn)
    # Another worker retries the first chunk.
    render_one_chunk()

    try:
        with db.transaction() as own:
            chunks.finish(own, late, chunk, "renders/late", [store.FailedCode(codes[0], "too late")])
        is_finished = True
    except LeaseLost:
        is_finished = False

    assert is_finished is not is_guarded
    assert (find(conn, render_id).failed == 0) is is_guarded


def test_a_worker_without_its_lease_cannot_finish_a_render(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, is_guarded: bool
) -> None:
    render_id = add_render(conn, org, make_codes(conn, org, 2))
    render_one_chunk()
    assemble_file = pipeline.assemble_file

    def assemble_late(*arguments: Any) -> Any:
        """Write the file, and stop for longer than the lease: another worker assembles the render."""
        file = assemble_file(*arguments)
        monkeypatch.setattr(pipeline, "assemble_file", assemble_file)
        expire_leases(conn)
        assemble_one()
        return file

    monkeypatch.setattr(pipeline, "assemble_file", assemble_late)
    assemble_one()

    ends = [data for kind, data in events(conn) if kind == "render_done"]
    assert (len(ends) == 1) is is_guarded
    if is_guarded:
        assert list_files(render_id) == [find(conn, render_id).file_name]
        assert len(decode_images(read_file(conn, render_id))) == 2


# Canceled -------------------------------------------------------------------------------------------------------------


def cancel(org: UUID, render_id: UUID) -> None:
    with db.transaction() as conn:
        assert store.cancel(conn, org, render_id)


def test_canceling_stops_a_worker_before_its_next_image(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    render_id = add_render(conn, org, make_codes(conn, org, 20))
    count = 0
    render_verified = zip_part.render_verified
    # A heartbeat before each image.
    monkeypatch.setattr(worker, "_throttled", lambda heartbeat: heartbeat)

    def cancel_at_fifth(*arguments: Any) -> bytes:
        nonlocal count
        count += 1
        if count == 5:
            cancel(org, render_id)
        return render_verified(*arguments)

    monkeypatch.setattr(zip_part, "render_verified", cancel_at_fifth)
    work()

    assert count == 5
    assert find(conn, render_id).status == "canceled"
    assert list_files(render_id) == []
    assert [kind for kind, _ in events(conn)] == ["render_done"]


def test_a_render_that_is_canceled_during_its_assembly_stays_canceled(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_id = add_render(conn, org, make_codes(conn, org, 2))
    render_one_chunk()
    assemble_file = pipeline.assemble_file

    def cancel_first(*arguments: Any) -> Any:
        cancel(org, render_id)
        return assemble_file(*arguments)

    monkeypatch.setattr(pipeline, "assemble_file", cancel_first)
    assemble_one()
    worker.delete_render_files(str(render_id))

    assert find(conn, render_id).status == "canceled"
    assert list_files(render_id) == []


@pytest.mark.usefixtures("small_chunks")
def test_canceling_and_finishing_do_not_deadlock(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 9)
    renders = [add_render(conn, org, codes) for _ in range(5)]
    for render_id in renders:
        tasks: list[Any] = [work, work, partial(cancel, org, render_id)]
        run_concurrently(tasks)
        work()
        assert find(conn, render_id).status in ("canceled", "done")

    ended = [data["render_id"] for kind, data in events(conn) if kind == "render_done"]
    assert sorted(ended) == sorted(map(str, renders))
