"""Renders whose parts the storage loses, or whose files it cannot store."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.infra.db import Conn
from shared.infra.storage.base import StorageFull
from shared.infra.storage.factory import storage
from shared.infra.storage.local import LocalStorage
from shared.renders import assembly, rules
from tests.renders.factories import (
    add_render,
    assemble_one,
    decode_images,
    find,
    list_files,
    make_codes,
    read_file,
    render_one_chunk,
    urls,
    work,
)
from workers import renders as worker


@pytest.mark.usefixtures("small_chunks")
def test_a_lost_part_is_rendered_again(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 7)
    render_id = add_render(conn, org, codes)
    for _ in range(3):
        render_one_chunk()
    parts = assembly.list_parts(conn, render_id)
    storage().delete(parts[1])

    work()

    assert decode_images(read_file(conn, render_id)) == urls(conn, codes)
    assert find(conn, render_id).done == 7


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("size", "options"), [(3, {}), (8, {"output": "label_sheet", "template": "a4-2x4", "caption": "none"})]
)
def test_all_lost_parts_are_detected_by_one_attempt(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, size: int, options: Any
) -> None:
    # More parts are lost than MAX_CRASHES, and none of them counts as a crash.
    monkeypatch.setattr(rules, "SLOW_CHUNK_SIZE", 1)
    render_id = add_render(conn, org, make_codes(conn, org, 6 * size), **options)
    while render_one_chunk():
        pass
    for part in assembly.list_parts(conn, render_id)[1:-1]:
        storage().delete(part)

    assert assemble_one()
    assert find(conn, render_id).done == 2 * size
    assert conn.execute("SELECT attempts, storage_failures FROM render_jobs").fetchone() == (0, 1)
    work()

    assert find(conn, render_id).done == 6 * size
    assert read_file(conn, render_id)


def test_a_render_fails_if_the_storage_repeatedly_loses_parts(conn: Conn, org: UUID) -> None:
    render_id = add_render(conn, org, make_codes(conn, org, 2))

    count = 0
    while render_one_chunk():
        count += 1
        storage().delete(assembly.list_parts(conn, render_id)[0])
        assemble_one()

    job = find(conn, render_id)
    assert (count, job.status, job.reason) == (rules.MAX_STORAGE_FAILURES, "failed", worker.PARTS_LOST)


def fill_disk(monkeypatch: pytest.MonkeyPatch, is_full: Callable[[str], bool]) -> None:
    """Fail every write of a name for which the disk is full."""
    write = LocalStorage.write

    @contextmanager
    def fail(self: LocalStorage, name: str) -> Iterator[Any]:
        with write(self, name) as out:
            yield out
            if is_full(name):
                raise StorageFull

    monkeypatch.setattr(LocalStorage, "write", fail)
    monkeypatch.setattr(worker, "RETRY_PAUSE", timedelta())


@pytest.mark.parametrize("extension", ["", ".zip"], ids=["parts", "file"])
def test_a_full_disk_fails_the_render(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, extension: str) -> None:
    fill_disk(monkeypatch, lambda name: name.endswith(extension))
    render_id = add_render(conn, org, make_codes(conn, org, 2))

    work()

    job = find(conn, render_id)
    assert (job.status, job.reason) == ("failed", str(StorageFull()))
    worker.delete_render_files(str(render_id))
    assert list_files(render_id) == []


def test_a_temporarily_full_disk_only_delays_a_render(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Counter[bool]()

    def is_full(name: str) -> bool:
        tries[name.endswith(".zip")] += 1
        return tries[name.endswith(".zip")] <= 2

    fill_disk(monkeypatch, is_full)
    codes = make_codes(conn, org, 2)
    render_id = add_render(conn, org, codes)

    work()

    assert decode_images(read_file(conn, render_id)) == urls(conn, codes)
    assert list_files(render_id) == [find(conn, render_id).file_name]
