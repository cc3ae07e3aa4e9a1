"""Transactions whose process fell silent, servers that became read-only, and calls after a commit."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

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


@pytest.mark.parametrize("connect", [db.connection, db.transaction, db.pipelined_transaction])
def test_connection_to_a_read_only_server_is_closed(
    conn: Conn, connect: Callable[[], AbstractContextManager[Conn]]
) -> None:
    used: list[Conn] = []

    def write(setting: str) -> None:
        with connect() as own:
            used.append(own)
            own.execute(setting)
            own.execute("INSERT INTO organizations (name, slug) VALUES ('a', 'a')")

    with pytest.raises(psycopg.OperationalError, match="read-only"):
        write(f"SET {'default_' if connect is db.connection else ''}transaction_read_only = on")
    assert used[0].closed
    write("SELECT")
    assert conn.execute("SELECT slug FROM organizations").fetchall() == [("a",)]


def test_request_that_writes_to_a_read_only_server_gets_503(client: FlaskClient, conn: Conn) -> None:
    def register(username: str) -> Any:
        return client.post("/auth/register", json={"username": username, "password": "correct horse battery"})

    conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        conn.execute("SELECT pg_reload_conf()")
        eventually(lambda: register("ada").status_code == 503)
        assert register("ada").headers["Retry-After"] == "2"
        assert client.get("/readyz?only=postgresql").status_code == 200
    finally:
        conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
        conn.execute("SELECT pg_reload_conf()")
    eventually(lambda: register("grace").status_code == 201)


@pytest.mark.parametrize("connect", [db.transaction, db.pipelined_transaction])
def test_call_follows_the_commit(clean: None, connect: Callable[[], AbstractContextManager[Conn]]) -> None:
    calls: list[int] = []
    with connect() as own:
        db.after_commit(own, lambda: calls.append(1))
        assert calls == []
    assert calls == [1]
    with suppress(LookupError), connect() as own:
        db.after_commit(own, lambda: calls.append(2))
        raise LookupError
    with ExitStack() as all_connections:
        while own is not all_connections.enter_context(db.transaction()):
            pass
    assert calls == [1]


def test_call_in_autocommit_is_made_at_once(conn: Conn) -> None:
    calls: list[int] = []
    conn.execute("SELECT")
    db.after_commit(conn, lambda: calls.append(1))
    assert calls == [1]
