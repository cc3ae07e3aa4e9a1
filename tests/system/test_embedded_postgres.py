from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from script.stack import EmbeddedPostgres, StoreError
from script.stack.files import temporary_directory
from tests.support.polling import eventually, have_exited

if TYPE_CHECKING:
    from collections.abc import Iterator


CHECKOUT = Path(__file__).parents[2]

OWNER = """
import pathlib, sys, time
from script.stack import EmbeddedPostgres
postgres = EmbeddedPostgres(pathlib.Path(sys.argv[1]), durable=False)
postgres.start()
print(postgres.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def data() -> Iterator[Path]:
    with temporary_directory("waymark-test-") as directory:
        yield directory


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A cluster that no server has run on. Tests copy it, because initdb takes about a second."""
    with temporary_directory("waymark-test-") as directory:
        EmbeddedPostgres(directory, durable=False).prepare()
        (directory / "port").unlink()
        yield directory


@pytest.fixture
def initialized(template: Path, data: Path) -> Path:
    # As root, the cluster belongs to another user, which only `cp` preserves.
    subprocess.run(["/bin/cp", "-a", f"{template}/.", data], check=True)
    return data


def test_answers_on_loopback_with_utf8_and_room_for_two_hundred(data: Path) -> None:
    with EmbeddedPostgres(data, durable=False) as postgres, psycopg.connect(postgres.url) as connection:
        settings = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("listen_addresses", "server_encoding", "max_connections", "fsync", "TimeZone")
        }
    assert settings == {
        "listen_addresses": ("127.0.0.1",),
        "server_encoding": ("UTF8",),
        "max_connections": ("200",),
        "fsync": ("off",),
        "TimeZone": ("UTC",),
    }


def test_is_durable_by_default(initialized: Path) -> None:
    with EmbeddedPostgres(initialized) as postgres, psycopg.connect(postgres.url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == ("on",)


def test_refuses_connections_without_the_password(data: Path) -> None:
    with EmbeddedPostgres(data, durable=False) as postgres:
        password = (data / "password").read_text()
        for wrong in (postgres.url.replace(password, "wrong"), postgres.url.replace(f":{password}", "")):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(wrong, passfile="/dev/null")
        assert stat.S_IMODE((data / "password").stat().st_mode) == 0o600
        assert not os.path.lexists(data / "initial-password")


def test_data_and_address_survive_a_restart(initialized: Path) -> None:
    with EmbeddedPostgres(initialized) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        first_url = postgres.url
    with EmbeddedPostgres(initialized) as postgres, psycopg.connect(postgres.url) as connection:
        assert postgres.url == first_url
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_starts_after_a_crash(initialized: Path) -> None:
    with EmbeddedPostgres(initialized) as postgres:
        assert postgres.pid
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postgres.pid, signal.SIGKILL)
    assert postmaster_pid(initialized) is not None
    with EmbeddedPostgres(initialized) as postgres, psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_starts_although_its_old_pid_now_belongs_to_another_process(initialized: Path) -> None:
    with EmbeddedPostgres(initialized) as postgres:
        assert postgres.pid
        os.kill(postgres.pid, signal.SIGKILL)
    # PostgreSQL only minds a process of its own user, so that is what the pid has to belong to.
    user = (initialized / "cluster").stat().st_uid
    with subprocess.Popen(["/bin/sleep", "600"], user=user if os.geteuid() == 0 else None, cwd="/") as bystander:
        rewrite_postmaster_pid(initialized, bystander.pid)
        with EmbeddedPostgres(initialized) as postgres:
            assert postgres.problem() is None
        assert bystander.poll() is None
        bystander.kill()


def test_stops_the_server_of_a_killed_run(initialized: Path) -> None:
    running = EmbeddedPostgres(initialized)
    running.start()
    try:
        assert running.pid
        with EmbeddedPostgres(initialized) as postgres:
            assert postgres.pid != running.pid
            assert postgres.problem() is None
            assert eventually(lambda: running.pid and have_exited([running.pid]))
    finally:
        running.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a child when its parent dies")
def test_does_not_outlive_the_process_that_started_it(initialized: Path) -> None:
    argv = [sys.executable, "-c", OWNER, str(initialized)]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        owner.kill()
    assert eventually(lambda: have_exited([pid]))


def test_an_interrupted_initialisation_is_done_again(data: Path) -> None:
    abandoned = data / "draft-abandoned"
    abandoned.mkdir()
    (abandoned / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data, durable=False) as postgres:
        assert postgres.problem() is None
    assert not abandoned.exists()


def test_a_failed_start_reports_the_end_of_the_log(initialized: Path) -> None:
    (initialized / "cluster" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(StoreError, match=r"(?s)ended with status 1.*no_such_setting"):
        EmbeddedPostgres(initialized, durable=False).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs, and can make, another place for the cluster")
def test_root_moves_the_cluster_when_its_account_cannot_reach_the_data(data: Path) -> None:
    secret = data / "secret"
    secret.mkdir(mode=0o700)
    store = EmbeddedPostgres(secret / "postgres", durable=False)
    for _ in range(2):
        with store:
            assert store.problem() is None
    with store:
        cluster = (secret / "postgres" / "home").resolve() / "cluster"
        assert cluster.stat().st_uid != 0
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
        assert cluster.parent.stat().st_uid == 0
    assert stat.S_IMODE(secret.stat().st_mode) == 0o700
    store.destroy()
    assert not cluster.parent.exists()


def postmaster_pid(data: Path) -> int | None:
    file = data / "cluster" / "postmaster.pid"
    return int(file.read_text().split()[0]) if file.exists() else None


def rewrite_postmaster_pid(data: Path, pid: int) -> None:
    file = data / "cluster" / "postmaster.pid"
    _, *rest = file.read_text().splitlines()
    file.write_text("\n".join([str(pid), *rest, ""]))
