"""What cleanup takes of renders: files whose time is over or that nobody needs, then rows; and nothing else."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra.db import Conn
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.infra.storage.local import LocalStorage
from shared.renders import rules
from tests.renders.factories import ask, find, left, make_codes, render_one_chunk, work
from tests.support.factories import make_org
from workers import cleanup


@pytest.fixture(autouse=True)
def empty_storage(conn: Conn) -> None:
    for name, _ in list(storage().list_files("renders/")):
        storage().delete(name)


@pytest.fixture
def render_id(conn: Conn) -> UUID:
    """One that is done."""
    org = make_org(conn)
    made = ask(conn, org, make_codes(conn, org, 2))
    work()
    return made


def put(name: str) -> None:
    with storage().write(name) as out:
        out.write(b"left over")


def test_what_is_needed_stays(conn: Conn, render_id: UUID) -> None:
    org = make_org(conn)
    running = ask(conn, org, make_codes(conn, org, 2))
    render_one_chunk()

    report = cleanup.purge_all()

    assert (report.render_files, report.renders) == (0, 0)
    assert left(render_id) == [find(conn, render_id).file_name]
    assert len(left(running)) == 1


def test_an_expired_file_goes_and_its_row_stays_to_say_so(conn: Conn, render_id: UUID) -> None:
    conn.execute("UPDATE render_jobs SET expires_at = now()")

    assert cleanup.purge_all().render_files == 1

    assert left(render_id) == []
    assert find(conn, render_id).is_expired
    assert cleanup.purge_all().render_files == 0


@pytest.mark.parametrize(("refused", "gone"), [("purge_drafts", 1), ("list_files", 0)])
def test_files_and_drafts_are_forgotten_each_whether_or_not_the_other_may_be(
    conn: Conn, render_id: UUID, monkeypatch: pytest.MonkeyPatch, refused: str, gone: int
) -> None:
    conn.execute("UPDATE render_jobs SET expires_at = now()")
    asked = []

    def note(*_: Any) -> int:
        asked.append("purge_drafts")
        return 0

    def refuse(*_: Any) -> Any:
        asked.append(refused)
        raise StorageError("The storage for files refused: AccessDenied.")

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "purge_drafts", note)
        patched.setattr(LocalStorage, refused, refuse)
        assert cleanup.purge_all().render_files == gone

    assert asked[-1] == "purge_drafts"
    assert len(left(render_id)) == 1 - gone


def test_what_a_crash_left_behind_goes(conn: Conn, render_id: UUID) -> None:
    """A part beside the file, a part of a render that was canceled, files of a render that nobody knows."""
    org = make_org(conn)
    canceled = ask(conn, org, make_codes(conn, org, 2))
    render_one_chunk()
    conn.execute(
        "UPDATE render_jobs SET status = 'canceled', finished_at = now() WHERE id = %s",
        (canceled,),
    )
    put(rules.part_name(render_id, 9, uuid4()))
    unknown = uuid4()
    put(rules.part_name(unknown, 0, uuid4()))

    assert cleanup.purge_all().render_files == 3

    assert left(render_id) == [find(conn, render_id).file_name]
    assert left(canceled) == left(unknown) == []


def test_rows_go_a_month_later(conn: Conn, render_id: UUID) -> None:
    conn.execute(
        "UPDATE render_jobs SET finished_at = now() - interval '40 days', expires_at = now() + interval '1 day'"
    )
    assert cleanup.purge_all().renders == 0
    conn.execute("UPDATE render_jobs SET expires_at = now() - interval '29 days'")
    assert cleanup.purge_all().renders == 0
    conn.execute("UPDATE render_jobs SET expires_at = now() - interval '31 days'")
    assert cleanup.purge_all().renders == 1
    assert conn.execute("SELECT FROM render_chunks").rowcount == 0
