"""Workers that draw renders: alone, side by side, and interrupted."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from PIL import Image

from shared.errors import UnreadableImage
from shared.images import store as images
from shared.images.code_url import code_url
from shared.images.render import render
from shared.infra import db, leases
from shared.infra.db import Conn
from shared.infra.leases import LeaseLost
from shared.infra.storage.base import StorageFull
from shared.infra.storage.factory import storage
from shared.infra.storage.local import LocalStorage
from shared.renders import assembly, chunks, pipeline, rules, store, zip_part
from tests.images.sample_images import LOGO, image_bytes
from tests.renders.factories import (
    ask,
    assemble_one,
    end_leases,
    file_of,
    find,
    left,
    make_codes,
    manifest,
    render_one_chunk,
    texts,
    work,
)
from tests.renders.factories import pictures as entries
from tests.support.concurrency import run_concurrently
from tests.support.factories import code_text, make_code, make_org
from workers import renders as worker

LEASE = timedelta(seconds=30)


@pytest.fixture
def org(conn: Conn) -> UUID:
    return make_org(conn)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three codes each."""
    monkeypatch.setattr(rules, "CHUNK_SIZE", 3)


def said(conn: Conn, codes: list[UUID]) -> list[str]:
    return [code_url(code_text(conn, code)) for code in codes]


def customize(conn: Conn, code: UUID, logo: bytes | None = None, **look: Any) -> None:
    images.save_style(conn, code, replace(images.lock_customization(conn, code), **look))
    images.save_logo(conn, code, logo)


def told(conn: Conn) -> list[tuple[str, dict[str, Any]]]:
    return [(row[0], row[1]) for row in conn.execute("SELECT type, data FROM events ORDER BY xid, id")]


# What comes out -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_a_zip_holds_one_picture_per_code_and_a_manifest(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 7)
    render_id = ask(conn, org, codes)

    work()

    data = file_of(conn, render_id)
    assert texts(data) == said(conn, codes)
    rows = manifest(data)
    assert [row["qr_id"] for row in rows] == list(map(str, codes))
    assert [row["file"] for row in rows] == list(entries(data))
    assert [row["url"] for row in rows] == said(conn, codes)
    render = find(conn, render_id)
    assert (render.done, render.failed, render.progress) == (7, 0, 1.0)
    assert left(render_id) == [render.file_name]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_is_the_one_that_the_image_endpoint_gives(conn: Conn, org: UUID, kind: Any) -> None:
    plain, colored, branded = codes = make_codes(conn, org, 3)
    customize(conn, colored, foreground_color="#123456", style="rounded")
    customize(conn, branded, LOGO, logo_size_percent=15)
    render_id = ask(conn, org, codes, format=kind, size=410, error_correction="Q")

    work()

    got = list(entries(file_of(conn, render_id)).values())
    for code, data in zip(codes, got, strict=True):
        printed = images.find_appearance(conn, org, code)
        assert printed is not None
        picture = printed.customization.image_spec(code_url(printed.code), kind, 410, "Q")
        assert data == render(picture, LOGO if code == branded else None)
    assert plain != colored


@pytest.mark.parametrize("fields", [{}, {"output": "label_sheet", "template": "a4-2x4", "caption": "none"}], ids=str)
@pytest.mark.parametrize(("replaced", "failed"), [(1, 0), (zip_part.MAX_RELOADS, 0), (zip_part.MAX_RELOADS + 1, 1)])
def test_a_logo_that_is_replaced_while_its_chunk_is_drawn_is_drawn_as_it_is_then(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, fields: Any, replaced: int, failed: int
) -> None:
    """And no code is loaded for ever."""
    branded, plain = make_codes(conn, org, 2)
    customize(conn, branded, LOGO)
    logos = [image_bytes(Image.new("RGB", (20 + n, 20), "red")) for n in range(replaced)]
    fetch = images.get_logo

    def late(own: Conn, code: UUID, digest: str) -> bytes | None:
        if logos:
            customize(conn, code, logos.pop())
        return fetch(own, code, digest)

    monkeypatch.setattr(images, "get_logo", late)
    render_id = ask(conn, org, [branded, plain], **fields)

    work()

    render = find(conn, render_id)
    assert (render.status, render.done, render.failed) == ("done", 2 - failed, failed)


def test_a_code_that_is_deleted_with_its_logo_replaced_fails_by_its_row(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    branded, plain = make_codes(conn, org, 2)
    customize(conn, branded, LOGO)

    def gone(*_: Any) -> None:
        conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (branded,))

    monkeypatch.setattr(images, "get_logo", gone)
    render_id = ask(conn, org, [branded, plain])

    work()

    assert store.list_errors(conn, render_id) == [store.FailedCode(branded, zip_part.DELETED)]


@pytest.mark.usefixtures("small_chunks")
def test_the_same_render_twice_gives_the_same_bytes(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 7)
    first, second = (ask(conn, org, codes) for _ in range(2))
    conn.execute("UPDATE render_jobs SET created_at = '2026-01-02T03:04:06Z'")

    run_concurrently([work] * 3)

    assert file_of(conn, first) == file_of(conn, second)


def test_a_manifest_is_no_spreadsheet_of_formulas(conn: Conn, org: UUID) -> None:
    code = make_code(conn, org, description='=HYPERLINK("http://evil")\nmore, "quoted"')
    render_id = ask(conn, org, [code])

    work()

    (row,) = manifest(file_of(conn, render_id))
    assert row["description"] == '\'=HYPERLINK("http://evil")\nmore, "quoted"'


def test_names_lead_nowhere_and_differ_whatever_the_case(conn: Conn, org: UUID) -> None:
    codes = [make_code(conn, org, code=text) for text in ("CON", "con", "nul", "a-B", "A-b", "___")]
    render_id = ask(conn, org, codes)

    work()

    names = list(entries(file_of(conn, render_id)))
    assert names == ["1-CON.png", "2-con.png", "3-nul.png", "4-a-B.png", "5-A-b.png", "6-___.png"]
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.usefixtures("small_chunks")
def test_staff_is_told_of_every_chunk_and_of_the_end(conn: Conn, org: UUID) -> None:
    render_id = ask(conn, org, make_codes(conn, org, 7))

    work()

    events = told(conn)
    assert [kind for kind, _ in events] == ["render_progress"] * 3 + ["render_done"]
    assert [data["done"] for _, data in events] == [3, 6, 7, 7]
    assert events[-1][1] == {
        "render_id": str(render_id), "status": "done", "total": 7, "done": 7, "failed": 0, "progress": 1.0,
    }  # fmt: skip
    assert conn.execute("SELECT DISTINCT org_id FROM events").fetchall() == [(org,)]


# What fails -----------------------------------------------------------------------------------------------------------


def test_a_picture_that_cannot_be_read_back_fails_by_itself(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = make_codes(conn, org, 4)
    bad = code_url(code_text(conn, codes[1]))
    from shared.images.readback import is_readable

    monkeypatch.setattr(
        zip_part, "is_readable", lambda picture, data: picture.text != bad and is_readable(picture, data)
    )
    render_id = ask(conn, org, codes)

    work()

    render = find(conn, render_id)
    assert (render.status, render.done, render.failed) == ("done", 3, 1)
    (error,) = store.list_errors(conn, render_id)
    assert (error.qr_id, error.message) == (codes[1], zip_part.UNREADABLE)
    data = file_of(conn, render_id)
    assert len(entries(data)) == 3
    assert [row["error"] for row in manifest(data)] == ["", error.message, "", ""]
    assert manifest(data)[1]["file"] == ""


def test_what_a_writer_spoils_is_found_by_reading_it_back(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader looks at bytes, not at what the writer meant: here the symbol's middle is painted over."""
    from shared.images import render as rendering
    from shared.images.symbol import encode

    def spoiled(text: str, level: Any) -> Any:
        dark = encode(text, level)
        dark[8:-8, 8:-8] = True
        return dark

    monkeypatch.setattr(rendering, "encode", spoiled)
    render_id = ask(conn, org, make_codes(conn, org, 2))

    work()

    assert find(conn, render_id).status == "failed"


def test_a_symbol_that_does_not_fit_fails_by_its_row(conn: Conn, org: UUID) -> None:
    """As where PUBLIC_URL is long."""
    short, long = make_code(conn, org, code="abc"), make_code(conn, org, code="x" * 64)
    render_id = ask(conn, org, [short, long], size=100, error_correction="H")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.renders.zip_part.code_url", lambda code: "https://x.example/" + code * 12)
        work()

    render = find(conn, render_id)
    assert (render.status, render.done, render.failed) == ("done", 1, 1)
    (error,) = store.list_errors(conn, render_id)
    assert error.qr_id == long
    assert "too small" in error.message


def test_a_render_of_which_all_fails_has_no_file(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> bytes:
        raise UnreadableImage

    monkeypatch.setattr(zip_part, "render", refuse)
    render_id = ask(conn, org, make_codes(conn, org, 4))

    work()

    render = find(conn, render_id)
    assert (render.status, render.failed, render.file_name) == ("failed", 4, None)
    assert render.reason == worker.NO_IMAGES
    assert told(conn)[-1][1]["status"] == "failed"
    assert left(render_id) == []


def test_a_defect_costs_one_picture_and_tells_nothing_of_our_insides(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(picture: Any, logo: Any) -> bytes:
        raise ZeroDivisionError("/srv/secret/path")

    codes = make_codes(conn, org, 2)
    monkeypatch.setattr(
        zip_part,
        "render",
        lambda p, logo: fail(p, logo) if p.text.endswith(code_text(conn, codes[0])) else render(p, logo),
    )
    render_id = ask(conn, org, codes)

    work()

    assert [error.message for error in store.list_errors(conn, render_id)] == [zip_part.INTERNAL_ERROR]
    assert find(conn, render_id).status == "done"


# Side by side, and too late -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_workers_side_by_side_make_each_picture_and_each_file_once(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, assembled = Counter[str](), Counter[UUID]()
    draw, put = zip_part.render_verified, pipeline.assemble_file

    def counted(asked: Any, code: Any, logos: Any) -> bytes:
        drawn[f"{asked.id} {code.id}"] += 1
        return draw(asked, code, logos)

    def counted_too(files: Any, render: Any, *rest: Any) -> Any:
        assembled[render.id] += 1
        return put(files, render, *rest)

    monkeypatch.setattr(zip_part, "render_verified", counted)
    monkeypatch.setattr(pipeline, "assemble_file", counted_too)
    codes = make_codes(conn, org, 20)
    renders = [ask(conn, org, codes) for _ in range(3)]

    run_concurrently([work] * 4)
    work()

    assert set(drawn.values()) == {1}
    assert len(drawn) == 60
    assert assembled == dict.fromkeys(renders, 1)
    assert all(texts(file_of(conn, render_id)) == said(conn, codes) for render_id in renders)


@pytest.mark.usefixtures("small_chunks")
def test_a_small_render_does_not_wait_for_a_large_one(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 30)
    large = ask(conn, org, codes)
    small = ask(conn, org, codes[:2])

    for _ in range(2):
        render_one_chunk()
    assemble_one()

    assert find(conn, small).status == "done"
    assert find(conn, large).status == "running"


@pytest.fixture(params=[True, False], ids=["guarded", "negative control"])
def is_guarded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether writes are fenced by the lease."""
    if not request.param:
        monkeypatch.setattr(leases, "lock_one", lambda *_: None)
    return bool(request.param)


@pytest.mark.usefixtures("small_chunks")
def test_a_worker_that_lost_its_lease_does_not_finish_the_chunk(conn: Conn, org: UUID, is_guarded: bool) -> None:
    """Other chunks are pending, so the render's counters have room for a chunk that counts twice."""
    codes = make_codes(conn, org, 7)
    render_id = ask(conn, org, codes)
    late = uuid4()
    claimed = leases.claim_new(conn, chunks.PENDING_CHUNKS, late, LEASE, limit=9)
    chunk = min(claimed, key=lambda each: each.number)  # the first to be retried
    end_leases(conn)
    render_one_chunk()

    try:
        with db.transaction() as own:
            chunks.finish(own, late, chunk, "renders/late", [store.FailedCode(codes[0], "too late")])
        wrote = True
    except LeaseLost:
        wrote = False

    assert wrote is not is_guarded
    assert (find(conn, render_id).failed == 0) is is_guarded


def test_a_worker_that_lost_its_lease_does_not_finish_the_render(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, is_guarded: bool
) -> None:
    """The first worker was halted for longer than its lease after it wrote the file."""
    render_id = ask(conn, org, make_codes(conn, org, 2))
    render_one_chunk()
    assemble_file = pipeline.assemble_file

    def assemble_late(*params: Any) -> Any:
        file = assemble_file(*params)
        monkeypatch.setattr(pipeline, "assemble_file", assemble_file)
        end_leases(conn)
        assemble_one()
        return file

    monkeypatch.setattr(pipeline, "assemble_file", assemble_late)
    assemble_one()

    ends = [data for kind, data in told(conn) if kind == "render_done"]
    assert (len(ends) == 1) is is_guarded
    if is_guarded:
        assert left(render_id) == [find(conn, render_id).file_name]
        assert len(texts(file_of(conn, render_id))) == 2


# Canceled -------------------------------------------------------------------------------------------------------------


def test_canceling_takes_effect_within_a_chunk(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    render_id = ask(conn, org, make_codes(conn, org, 20))
    drawn = 0
    draw = zip_part.render_verified
    monkeypatch.setattr(worker, "_throttled", lambda keep: keep)  # a heartbeat before each picture

    def counted(*given: Any) -> bytes:
        nonlocal drawn
        drawn += 1
        if drawn == 5:
            with db.transaction() as own:
                assert store.cancel(own, org, render_id)
        return draw(*given)

    monkeypatch.setattr(zip_part, "render_verified", counted)
    work()

    assert drawn == 5
    assert find(conn, render_id).status == "canceled"
    assert left(render_id) == []
    assert [kind for kind, _ in told(conn)] == ["render_done"]


def test_canceled_while_the_last_chunk_ends_it_stays_canceled(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_id = ask(conn, org, make_codes(conn, org, 2))
    render_one_chunk()
    put = pipeline.assemble_file

    def canceled(*given: Any) -> Any:
        with db.transaction() as own:
            store.cancel(own, org, render_id)
        return put(*given)

    monkeypatch.setattr(pipeline, "assemble_file", canceled)
    assemble_one()
    worker.delete_render_files(str(render_id))

    assert find(conn, render_id).status == "canceled"
    assert left(render_id) == []


@pytest.mark.usefixtures("small_chunks")
def test_canceling_and_finishing_at_once_never_wait_for_each_other_in_a_circle(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 9)
    for _ in range(10):
        render_id = ask(conn, org, codes)

        def cancel(render_id: UUID = render_id) -> None:
            with db.transaction() as own:
                store.cancel(own, org, render_id)

        run_concurrently([work, work, cancel])
        work()
        assert find(conn, render_id).status in ("canceled", "done")


# Interruptions --------------------------------------------------------------------------------------------------------


@contextmanager
def deadly(monkeypatch: pytest.MonkeyPatch, text: str) -> Iterator[None]:
    """A worker that comes to this code is gone without a word: its lease stays behind."""
    draw = zip_part.render_verified

    def die(asked: Any, code: Any, logos: Any) -> bytes:
        if code.text == text:
            raise SystemExit
        return draw(asked, code, logos)

    with monkeypatch.context() as patched:
        patched.setattr(zip_part, "render_verified", die)
        yield


def test_a_picture_that_kills_its_worker_three_times_is_set_aside_and_the_others_go_on(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = make_codes(conn, org, 6)
    render_id = ask(conn, org, codes)
    kills = 0
    with deadly(monkeypatch, code_text(conn, codes[3])):
        while find(conn, render_id).status in rules.OPEN_STATUSES:
            try:
                work()
            except SystemExit:
                kills += 1
                end_leases(conn)

    assert kills == 1 + rules.MAX_CRASHES, "the first one does not say where it died"
    render = find(conn, render_id)
    assert (render.status, render.done, render.failed) == ("done", 5, 1)
    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[3], zip_part.DEAD_LETTERED)]


@pytest.mark.usefixtures("small_chunks")
def test_a_killed_worker_costs_its_unfinished_chunk_only(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = make_codes(conn, org, 9)
    render_id = ask(conn, org, codes)
    drawn = Counter[UUID]()
    draw = zip_part.render_verified

    def once(asked: Any, code: Any, logos: Any) -> bytes:
        drawn[code.id] += 1
        if code.id == codes[4] and drawn[code.id] == 1:
            raise SystemExit
        return draw(asked, code, logos)

    monkeypatch.setattr(zip_part, "render_verified", once)
    with pytest.raises(SystemExit):
        work()
    assert find(conn, render_id).done == 3
    work()
    assert find(conn, render_id).status == "running", "its lease is not over"
    end_leases(conn)
    work()

    assert texts(file_of(conn, render_id)) == said(conn, codes)
    assert [drawn[code] for code in codes] == [1, 1, 1, 2, 2, 1, 1, 1, 1]


def test_a_file_that_kills_its_worker_three_times_is_given_up(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise SystemExit

    render_id = ask(conn, org, make_codes(conn, org, 2))
    monkeypatch.setattr(pipeline, "assemble_file", die)
    for _ in range(rules.MAX_CRASHES):
        with pytest.raises(SystemExit):
            work()
        end_leases(conn)
    work()

    render = find(conn, render_id)
    assert (render.status, render.reason) == ("failed", worker.ASSEMBLY_CRASHED)
    assert left(render_id) == []


@pytest.mark.parametrize(("module", "table"), [(chunks, "render_chunks"), (assembly, "render_jobs")])
def test_a_database_that_goes_away_costs_no_attempt(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, module: Any, table: str
) -> None:
    def go_away(*_: Any) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    render_id = ask(conn, org, make_codes(conn, org, 2))
    with monkeypatch.context() as broken:
        broken.setattr(module, "finish", go_away)
        with pytest.raises(psycopg.OperationalError):
            work()
    assert conn.execute(f"SELECT attempts, lease_until FROM {table}").fetchone() == (0, None)
    work()
    assert find(conn, render_id).status == "done"


@pytest.mark.usefixtures("small_chunks")
def test_a_part_that_the_storage_lost_is_made_again(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 7)
    render_id = ask(conn, org, codes)
    for _ in range(3):
        render_one_chunk()
    parts = assembly.list_parts(conn, render_id)
    storage().delete(parts[1])

    work()

    assert texts(file_of(conn, render_id)) == said(conn, codes)
    assert find(conn, render_id).done == 7


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("size", "fields"), [(3, {}), (8, {"output": "label_sheet", "template": "a4-2x4", "caption": "none"})]
)
def test_all_parts_that_the_storage_lost_are_made_again_at_once(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, size: int, fields: Any
) -> None:
    """More of them than workers may die with one file; it counts as no death."""
    monkeypatch.setattr(rules, "SLOW_CHUNK_SIZE", 1)
    render_id = ask(conn, org, make_codes(conn, org, 6 * size), **fields)
    while render_one_chunk():
        pass
    for part in assembly.list_parts(conn, render_id)[1:-1]:
        storage().delete(part)

    assert assemble_one()
    assert find(conn, render_id).done == 2 * size
    assert conn.execute("SELECT attempts, storage_failures FROM render_jobs").fetchone() == (0, 1)
    work()

    assert find(conn, render_id).done == 6 * size
    assert file_of(conn, render_id)


def test_a_storage_that_keeps_losing_parts_fails_the_render_with_its_reason(conn: Conn, org: UUID) -> None:
    render_id = ask(conn, org, make_codes(conn, org, 2))

    drawn = 0
    while render_one_chunk():
        drawn += 1
        storage().delete(assembly.list_parts(conn, render_id)[0])
        assemble_one()

    render = find(conn, render_id)
    assert (drawn, render.status, render.reason) == (rules.MAX_STORAGE_FAILURES, "failed", worker.PARTS_LOST)


def full(monkeypatch: pytest.MonkeyPatch, when: Callable[[str], bool]) -> None:
    """A disk that is full for names that are so."""
    write = LocalStorage.write

    @contextmanager
    def refused(self: LocalStorage, name: str) -> Iterator[Any]:
        with write(self, name) as out:
            yield out
            if when(name):
                raise StorageFull

    monkeypatch.setattr(LocalStorage, "write", refused)
    monkeypatch.setattr(worker, "RETRY_PAUSE", timedelta())


@pytest.mark.parametrize("ending", ["", ".zip"], ids=["parts", "file"])
def test_a_disk_that_stays_full_fails_the_render_with_its_reason(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    full(monkeypatch, lambda name: name.endswith(".zip") if ending else True)
    render_id = ask(conn, org, make_codes(conn, org, 2))

    work()

    render = find(conn, render_id)
    assert (render.status, render.reason) == ("failed", "There is no room left for files.")
    worker.delete_render_files(str(render_id))
    assert left(render_id) == []


def test_a_disk_that_is_full_for_a_while_delays(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Counter[bool]()

    def twice(name: str) -> bool:
        tries[name.endswith(".zip")] += 1
        return tries[name.endswith(".zip")] <= 2

    full(monkeypatch, twice)
    codes = make_codes(conn, org, 2)
    render_id = ask(conn, org, codes)

    work()

    assert texts(file_of(conn, render_id)) == said(conn, codes)
    assert left(render_id) == [find(conn, render_id).file_name]
