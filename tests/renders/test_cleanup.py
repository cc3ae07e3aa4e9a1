"""Cleanup of renders: expired and unneeded files, then rows."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra.db import Conn
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.infra.storage.local import LocalStorage
from shared.renders import rules
from tests.renders.factories import add_render, find, list_files, make_codes, render_one_chunk, work
from tests.support.factories import make_org
from workers import cleanup


@pytest.fixture(autouse=True)
def empty_storage(conn: Conn) -> None:
    for name, _ in list(storage().list_files("renders/")):
        storage().delete(name)


@pytest.fixture
def render_id(conn: Conn) -> UUID:
    """A finished render."""
    org = make_org(conn)
    created = add_render(conn, org, make_codes(conn, org, 2))
    work()
    return created


def put(name: str) -> None:
    with storage().write(name) as out:
        out.write(b"unneeded")


def test_needed_files_are_not_deleted(conn: Conn, render_id: UUID) -> None:
    org = make_org(conn)
    running = add_render(conn, org, make_codes(conn, org, 2))
    render_one_chunk()

    report = cleanup.purge_all()

    assert (report.render_files, report.renders) == (0, 0)
    assert list_files(render_id) == [find(conn, render_id).file_name]
    assert len(list_files(running)) == 1


def test_an_expired_file_is_deleted_and_its_row_remains(conn: Conn, render_id: UUID) -> None:
    conn.execute("UPDATE render_jobs SET expires_at = now()")

    assert cleanup.purge_all().render_files == 1

    assert list_files(render_id) == []
    assert find(conn, render_id).is_expired
    assert cleanup.purge_all().render_files == 0


@pytest.mark.parametrize(("failing", "deleted"), [("purge_drafts", 1), ("list_files", 0)])
def test_files_and_drafts_are_purged_independently(
    conn: Conn, render_id: UUID, monkeypatch: pytest.MonkeyPatch, failing: str, deleted: int
) -> None:
    conn.execute("UPDATE render_jobs SET expires_at = now()")
    calls = []

    def purge(*_: Any) -> int:
        calls.append("purge_drafts")
        return 0

    def fail(*_: Any) -> Any:
        calls.append(failing)
        raise StorageError("The storage for files reported an error: AccessDenied.")

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "purge_drafts", purge)
        patched.setattr(LocalStorage, failing, fail)
        assert cleanup.purge_all().render_files == deleted

    assert calls[-1] == "purge_drafts"
    assert len(list_files(render_id)) == 1 - deleted


def test_files_of_crashed_workers_are_deleted(conn: Conn, render_id: UUID) -> None:
    """A part beside the file, a part of a canceled render, and a file of an unknown render."""
    org = make_org(conn)
    canceled = add_render(conn, org, make_codes(conn, org, 2))
    render_one_chunk()
    conn.execute(
        "UPDATE render_jobs SET status = 'canceled', finished_at = now() WHERE id = %s",
        (canceled,),
    )
    put(rules.part_name(render_id, 9, uuid4()))
    unknown = uuid4()
    put(rules.part_name(unknown, 0, uuid4()))

    assert cleanup.purge_all().render_files == 3

    assert list_files(render_id) == [find(conn, render_id).file_name]
    assert list_files(canceled) == list_files(unknown) == []


def test_rows_are_purged_after_30_days(conn: Conn, render_id: UUID) -> None:
    conn.execute(
        "UPDATE render_jobs SET finished_at = now() - interval '40 days', expires_at = now() + interval '1 day'"
    )
    assert cleanup.purge_all().renders == 0
    conn.execute("UPDATE render_jobs SET expires_at = now() - interval '29 days'")
    assert cleanup.purge_all().renders == 0
    conn.execute("UPDATE render_jobs SET expires_at = now() - interval '31 days'")
    assert cleanup.purge_all().renders == 1
    assert conn.execute("SELECT FROM render_chunks").rowcount == 0
