"""PgBouncer in transaction mode: pooled statements run through it, and session state needs DATABASE_DIRECT_URL."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from script.stack.running_server import CHECKOUT
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.leader_election import POOLER, Leadership, leadership
from shared.settings import SettingsError, settings
from tests.support.pgbouncer import needs_pgbouncer, pooler

pytestmark = needs_pgbouncer

REPEATS = 12
"""More than psycopg's threshold for preparing a statement."""


@pytest.fixture(scope="module")
def pooled_url() -> Iterator[str]:
    with pooler(os.environ["DATABASE_URL"], pool_size=2) as own:
        yield own.url


@pytest.fixture
def use(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that sets settings of this process."""

    def apply(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield apply
    monkeypatch.undo()
    settings.cache_clear()


@contextmanager
def pool_of_its_own() -> Iterator[None]:
    """Open this process's pool again with the current settings."""
    original = db.pool.reset()
    try:
        yield
    finally:
        db.close_pool()
        if original is not None:
            original.close()


def repeat_on_two_connections() -> None:
    """Run one statement often, on two clients that take turns on the connections of the pooler."""
    with db.pool().connection() as first, db.pool().connection() as second:
        for _ in range(REPEATS):
            with first.transaction():
                first.execute("SELECT id FROM players WHERE username = %s", ("ada",))
                second.execute("SELECT id FROM players WHERE username = %s", ("ada",))
            second.execute("SELECT id FROM players WHERE username = %s", ("ada",))


def test_pool_works_without_prepared_statements(use: Callable[..., None], pooled_url: str) -> None:
    use(DATABASE_URL=pooled_url, DATABASE_PREPARED="false")
    with pool_of_its_own():
        repeat_on_two_connections()


def test_prepared_statements_fail_through_the_pooler(use: Callable[..., None], pooled_url: str) -> None:
    """The negative control of the previous test."""
    use(DATABASE_URL=pooled_url, DATABASE_PREPARED="true")
    with (
        pool_of_its_own(),
        pytest.raises((psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement)),
    ):
        repeat_on_two_connections()


def test_leader_uses_the_direct_url(use: Callable[..., None], pooled_url: str) -> None:
    direct = os.environ["DATABASE_URL"]
    use(DATABASE_URL=pooled_url, DATABASE_DIRECT_URL=direct)
    with leadership("direct", threading.Event()) as lead:
        assert lead is not None
        with occupied_connection(pooled_url):
            assert lead.is_held()


@pytest.mark.parametrize("module", ["workers.scheduler", "workers.relay"])
def test_leader_through_a_pooler_exits(pooled_url: str, module: str) -> None:
    environment = os.environ | {"DATABASE_URL": pooled_url, "DATABASE_PREPARED": "false"}
    outcome = subprocess.run(
        (sys.executable, "-m", module), env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert outcome.returncode == 1
    assert outcome.stderr == f"{POOLER}\n"


def test_leader_exits_once_another_session_holds_its_lock(use: Callable[..., None], pooled_url: str) -> None:
    """As through a busy pooler, where the leader gets another session later."""
    use(DATABASE_URL=pooled_url)
    with db.dedicated_connection() as conn:
        conn.execute("SELECT pg_advisory_lock(1)")
        lead = Leadership(conn, 1)
        assert lead.is_held()
        with occupied_connection(pooled_url), pytest.raises(SettingsError, match="DATABASE_DIRECT_URL"):
            lead.is_held()


@contextmanager
def occupied_connection(url: str) -> Iterator[None]:
    """Hold the connection that the pooler used last in a transaction, so that other clients get another one."""
    with psycopg.connect(url) as conn:
        conn.execute("SELECT")
        yield
