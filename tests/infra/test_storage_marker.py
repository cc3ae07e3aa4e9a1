"""The marker by which web and workers notice that they do not share their files."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from shared.infra.storage import marker
from shared.infra.storage.base import Storage, StorageError
from shared.infra.storage.factory import storage
from shared.infra.storage.local import LocalStorage
from shared.settings import settings
from tests.renders.factories import add_render, find, make_codes
from tests.support.callers import Staff
from tests.support.factories import make_org
from web.api import health as health_api
from workers import renders as worker


@pytest.fixture
def recorded(conn: Conn, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "recorded")


@pytest.fixture
def other(tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "other")


@pytest.fixture
def not_shared(other: Storage, monkeypatch: pytest.MonkeyPatch, recorded: Storage) -> None:
    """This process has another directory than the first one."""
    assert marker.is_shared(recorded)
    monkeypatch.setattr(marker, "storage", lambda: other)


def test_the_first_process_writes_the_marker(conn: Conn, recorded: Storage, other: Storage, tmp_path: Path) -> None:
    for _ in range(2):  # a restart
        assert marker.is_shared(recorded)
    assert marker.is_shared(LocalStorage(tmp_path / "recorded"))
    assert not marker.is_shared(other)
    assert conn.execute("SELECT FROM file_storages").rowcount == 1


def test_a_read_only_mount_is_enough_for_all_but_the_first(
    conn: Conn, recorded: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Any, _name: str) -> Any:
        raise StorageError("The storage for files failed: Read-only file system.")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "write", refuse)
        with pytest.raises(StorageError):
            marker.is_shared(recorded)
        assert conn.execute("SELECT FROM file_storages").rowcount == 0
    assert marker.is_shared(recorded)
    monkeypatch.setattr(LocalStorage, "write", refuse)
    assert marker.is_shared(recorded)


def test_two_processes_that_start_at_once_agree(conn: Conn, recorded: Storage, other: Storage) -> None:
    for files, shared in (([recorded] * 8, 8), ([recorded, other] * 4, 4)):
        conn.execute("DELETE FROM file_storages")
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(marker.is_shared, files)) == shared


def test_a_directory_is_adopted_after_a_restore(conn: Conn, recorded: Storage, other: Storage) -> None:
    marker.is_shared(recorded)

    marker.adopt(other)

    assert (marker.is_shared(recorded), marker.is_shared(other)) == (False, True)


def test_a_bucket_needs_no_marker(conn: Conn, not_shared: None, monkeypatch: pytest.MonkeyPatch, app: Flask) -> None:
    assert not marker.check()
    changed = settings().model_copy(update={"files_s3_bucket": "files"})
    monkeypatch.setattr(marker, "settings", lambda: changed)
    assert marker.check()


def test_an_unavailable_database_is_reported_by_its_own_check(
    recorded: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_files: Storage) -> bool:
        raise psycopg.OperationalError

    monkeypatch.setattr(marker, "is_shared", fail)
    assert marker.check()


def test_readyz_names_the_files(app: Flask, client: Any, conn: Conn, not_shared: None) -> None:
    app.extensions[health_api.FILES_EXTENSION].clear()

    response = client.get("/readyz")

    assert (response.status_code, response.json["detail"]) == (503, "Not ready: files.")
    assert client.get("/readyz?only=postgresql,migrations").status_code == 200
    app.extensions[health_api.FILES_EXTENSION].clear()


def test_a_worker_with_other_files_leaves_renders_to_the_others(
    conn: Conn, not_shared: None, monkeypatch: pytest.MonkeyPatch, recorded: Storage
) -> None:
    org_id = make_org(conn)
    render_id = add_render(conn, org_id, make_codes(conn, org_id, 1))

    worker.render_pending()
    worker.assemble_pending()
    assert find(conn, render_id).status == "queued"

    monkeypatch.setattr(marker, "storage", lambda: recorded)
    worker.render_pending()
    worker.assemble_pending()
    assert find(conn, render_id).status == "done"


def test_a_download_without_its_file_names_it(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    render_id = add_render(conn, staff.org_id, make_codes(conn, staff.org_id, 1))
    worker.render_pending()
    worker.assemble_pending()
    path = f"{staff.path}/renders/{render_id}"
    name = client.get(path, headers=staff.admin.headers).json["file_name"]
    assert name.startswith(f"renders/{render_id}/")

    storage().delete(name)

    response = client.get(f"{path}/download", headers=staff.admin.headers)
    assert response.status_code == 404
    assert name in response.json["detail"]


@pytest.mark.system
def test_a_second_server_with_its_own_directory_is_found(conn: Conn, recorded: Storage, tmp_path: Path) -> None:
    def run(command: str, folder: str) -> tuple[int, str]:
        done = subprocess.run(
            (sys.executable, "-m", "workers.cli", "files", command),
            cwd=CHECKOUT,
            env=os.environ | {"FILES_DIR": str(tmp_path / folder)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    assert run("check", "recorded")[0] == 0
    status, output = run("check", "other")
    assert status == 1
    assert "FILES_S3_BUCKET" in output
    assert run("adopt", "other")[0] == run("check", "other")[0] == 0
    assert run("check", "recorded")[0] == 1
