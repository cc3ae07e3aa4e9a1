"""Transactions whose process fell silent."""

import psycopg
import pytest

from shared.infra import db
from shared.infra.db import Conn
from tests.support.polling import eventually


def test_a_transaction_that_fell_silent_is_ended_and_its_locks_are_free(conn: Conn) -> None:
    """Also behind a pipeline, where PostgreSQL's own timeout for idle transactions does not see it."""
    conn.execute("INSERT INTO organizations (name, slug) VALUES ('a', 'a')")
    with db.dedicated_connection() as silent:
        silent.execute("BEGIN")
        with silent.pipeline():
            silent.execute("SELECT FROM organizations FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute("SELECT FROM organizations FOR UPDATE NOWAIT")
        eventually(lambda: db.terminate_stalled_transactions(conn, 0.1) == 1)
        assert conn.execute("SELECT FROM organizations FOR UPDATE").rowcount == 1
        with pytest.raises(psycopg.OperationalError):
            silent.execute("SELECT")
        silent.close()


def test_connections_outside_a_transaction_may_be_silent(conn: Conn) -> None:
    with db.dedicated_connection() as idle:
        idle.execute("SELECT")
        assert db.terminate_stalled_transactions(conn, 0) == 0
        assert idle.execute("SELECT").rowcount == 1
