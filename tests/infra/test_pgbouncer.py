"""PgBouncer in transaction mode: pooled statements run through it, and session state needs DATABASE_DIRECT_URL."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.leader_election import leadership
from shared.settings import SettingsError, settings
from tests.support.pgbouncer import needs_pgbouncer, pooler

pytestmark = needs_pgbouncer

REPEATS = 12
"""More than psycopg's threshold for preparing a statement."""


@pytest.fixture(scope="module")
def pooled_url() -> Iterator[str]:
    with pooler(os.environ["DATABASE_URL"], pool_size=2) as url:
        yield url


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


def test_leader_through_a_pooler_exits(use: Callable[..., None], pooled_url: str) -> None:
    use(DATABASE_URL=pooled_url)
    with leadership("pooled", threading.Event()) as lead:
        assert lead is not None
        with occupied_connection(pooled_url), pytest.raises(SettingsError, match="DATABASE_DIRECT_URL"):
            lead.is_held()


@contextmanager
def occupied_connection(url: str) -> Iterator[None]:
    """Hold the connection that the pooler used last in a transaction, so that other clients get another one."""
    with psycopg.connect(url) as conn:
        conn.execute("SELECT")
        yield
