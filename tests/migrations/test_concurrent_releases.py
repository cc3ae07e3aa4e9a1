"""Releases that run at the same time, and migrations that wait for the locks of others."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from script.stack.running_server import CHECKOUT
from shared.infra import health
from shared.infra.db import Conn
from tests.support.polling import eventually

pytestmark = pytest.mark.system

LOCK = 5_217_230_001
INDEX = """create_index("late_index", "CREATE INDEX CONCURRENTLY IF NOT EXISTS late_index ON organizations (name)")"""
COLUMN = """op.execute("ALTER TABLE organizations ADD COLUMN late text")"""
COLUMNS = """op.execute("ALTER TABLE organizations ADD COLUMN late text")
    op.execute("ALTER TABLE players ADD COLUMN late text")"""
REVISION = """
from alembic import op
from migrations import create_index

revision = "{revision}"
down_revision = "{down_revision}"


def upgrade() -> None:
    {statement}
"""


class Release:
    """A process that migrates to a revision of the test."""

    def __init__(self, log: Path, directory: Path, database_url: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "tests.migrations.release", str(directory)),
                cwd=CHECKOUT,
                env=os.environ | {"DATABASE_URL": database_url},
                stdout=output,
                stderr=output,
            )

    def output(self) -> str:
        return self._log.read_text()

    def wait(self) -> None:
        assert self.process.wait(120) == 0, self.output()


@pytest.fixture
def database(conn: Conn) -> Iterator[str]:
    """The URL of another database, at the current revision."""
    conn.execute("DROP DATABASE IF EXISTS releases WITH (FORCE)")
    conn.execute("CREATE DATABASE releases")
    parts = urlsplit(os.environ["DATABASE_URL"])
    url = urlunsplit(parts._replace(path="/releases"))
    # The first of these hosts is not there.
    userinfo, _, host = parts.netloc.rpartition("@")
    several = urlunsplit(parts._replace(netloc=f"{userinfo}@127.0.0.1:9,{host}", path="/releases"))
    environment = os.environ | {"DATABASE_URL": f"{several}?target_session_attrs=read-write"}
    subprocess.run((sys.executable, "-m", "migrations"), cwd=CHECKOUT, env=environment, check=True, timeout=120)
    yield url
    conn.execute("DROP DATABASE releases WITH (FORCE)")


@pytest.fixture
def other(database: str) -> Iterator[Conn]:
    with psycopg.connect(database, autocommit=True) as conn:
        yield conn


@pytest.fixture
def release(tmp_path: Path, database: str) -> Iterator[Callable[[str], Release]]:
    """Start a release with this statement as its last migration."""
    started: list[Release] = []

    def start(statement: str) -> Release:
        directory = tmp_path / "versions"
        directory.mkdir(exist_ok=True)
        current = health.required_migration()
        revision = f"{int(current) + 1:04}"
        text = REVISION.format(revision=revision, down_revision=current, statement=statement)
        (directory / f"{revision}_late.py").write_text(text)
        started.append(Release(tmp_path / f"release-{len(started)}.log", directory, database))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@contextmanager
def open_transaction(database: str) -> Iterator[None]:
    """Lock the table as a write does. Index builds and ALTER TABLE wait for it."""
    with psycopg.connect(database) as writer:
        writer.execute("LOCK TABLE organizations IN ROW EXCLUSIVE MODE")
        yield


def builds_an_index(conn: Conn) -> bool:
    """Return whether a session builds an index and waits for a transaction."""
    query = "SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event = 'virtualxid'"
    return conn.execute(query).rowcount == 1


def polls_the_lock(conn: Conn) -> bool:
    """Return whether a session has tried to get the lock, and does not have it."""
    rows = conn.execute(
        """
        SELECT FROM pg_stat_activity a
        WHERE datname = current_database() AND state = 'idle' AND pid <> pg_backend_pid()
          AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory')
          AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')
          AND query IN ('COMMIT', 'ROLLBACK')
        """
    )
    return rows.rowcount == 1


def test_waiting_release_does_not_deadlock_with_an_index_build(
    other: Conn, database: str, release: Callable[[str], Release]
) -> None:
    with open_transaction(database):
        building = release(INDEX)
        eventually(lambda: builds_an_index(other))
        waiting = release(INDEX)
        eventually(lambda: polls_the_lock(other))
    building.wait()
    waiting.wait()
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'late_index'::regclass"
    assert other.execute(valid).fetchall() == [(True,)]


def test_release_that_blocks_on_the_lock_deadlocks(
    other: Conn, database: str, release: Callable[[str], Release]
) -> None:
    """The negative control of the previous test."""
    errors: list[Any] = []

    def block() -> None:
        with psycopg.connect(database) as conn:
            try:
                conn.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            except psycopg.Error as error:
                errors.append(error)

    with open_transaction(database):
        building = release(INDEX)
        eventually(lambda: builds_an_index(other))
        blocked = threading.Thread(target=block)
        blocked.start()
        eventually(lambda: other.execute("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'").rowcount)
    building.process.wait(120)
    blocked.join(120)
    assert [type(error) for error in errors] == [psycopg.errors.DeadlockDetected] or "deadlock" in building.output()


def test_failed_index_build_is_repeated(other: Conn, release: Callable[[str], Release]) -> None:
    other.execute("INSERT INTO organizations (name, slug) VALUES ('same', 'a'), ('same', 'b')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        other.execute("CREATE UNIQUE INDEX CONCURRENTLY late_index ON organizations (name)")
    valid = "SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = 'late_index'::regclass"
    assert other.execute(valid).fetchall() == [(False, True)]

    release(INDEX).wait()

    assert other.execute(valid).fetchall() == [(True, False)]


def test_migration_releases_its_place_in_the_queue_of_a_lock(
    other: Conn, database: str, release: Callable[[str], Release]
) -> None:
    with open_transaction(database):
        altering = release(COLUMN)
        eventually(lambda: other.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount)
        # Waits behind ALTER TABLE, until the migration gives up for now.
        assert other.execute("SELECT FROM organizations").rowcount == 0
        eventually(lambda: "migration_retried" in altering.output())
        assert altering.process.poll() is None
    altering.wait()
    assert other.execute("SELECT late FROM organizations").rowcount == 0


def test_migration_in_a_deadlock_is_retried(database: str, other: Conn, release: Callable[[str], Release]) -> None:
    with psycopg.connect(database) as request:
        # The migration finds the deadlock, not the request.
        request.execute("SET LOCAL deadlock_timeout = '1min'")
        request.execute("LOCK TABLE players IN ROW EXCLUSIVE MODE")
        altering = release(COLUMNS)
        eventually(lambda: other.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount)
        assert request.execute("SELECT FROM organizations").rowcount == 0
    altering.wait()
    assert "migration_retried" in altering.output()
    assert other.execute("SELECT o.late, p.late FROM organizations o, players p").rowcount == 0
