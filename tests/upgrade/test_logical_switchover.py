"""The data moves from PostgreSQL 15 to the embedded version by replication, with the commands of docs/upgrading.md."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from script.stack import temporary_redis
from script.stack.ports import LOOPBACK, free_port
from script.stack.postgres import find_binaries
from script.stack.process import Account
from script.stack.running_server import CHECKOUT
from tests.support.database import table_names
from tests.support.polling import eventually
from tests.system.follower import Follower
from tests.system.invariants import assert_settled_once
from tests.system.load import Load, make_game, register
from tests.upgrade.clusters import OLD, Cluster, Run, first_event, running_cluster, start_processes
from tests.upgrade.installation import installation
from tests.upgrade.scanning import scanning

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.skipif(not OLD.exists(), reason="needs the package postgresql-15"),
    pytest.mark.skipif(os.geteuid() != 0, reason="runs the servers as another user, which needs root"),
]

PLAYERS = 4
PASSWORD = "correct-horse"
SECTION = (CHECKOUT / "docs" / "upgrading.md").read_text().partition("### By replication")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    """Return the commands of the section, in their order."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", SECTION, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(each).replace("…", PASSWORD) for each in found]


def run_block(text: str, environment: Mapping[str, str]) -> None:
    """Run commands as a person does who stops after the first one that fails."""
    path = f"{OLD}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    strict = 'set -eu; psql() { command psql -v ON_ERROR_STOP=1 "$@"; }\n'
    done = subprocess.run(
        ["sh", "-c", strict + text],  # noqa: S607
        cwd=CHECKOUT,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


COLUMNS = """
    SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = %s
"""
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"


def rows(conn: psycopg.Connection, table: str, columns: str) -> list[tuple[str]]:
    return conn.execute(f"SELECT (ROW ({columns}))::text FROM {table} ORDER BY 1").fetchall()


def assert_same_rows(old_url: str, new_url: str) -> None:
    """Assert that both databases have the same rows, and that their sequences continue alike."""
    with psycopg.connect(old_url) as old, psycopg.connect(new_url) as new:
        for table in (*table_names(new), "alembic_version", "schema_floor"):
            (columns,) = new.execute(COLUMNS, (table,)).fetchone() or ("",)
            assert rows(old, table, columns) == rows(new, table, columns), table
        assert new.execute(SEQUENCES).fetchall() == old.execute(SEQUENCES).fetchall()


def write(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("UPDATE schema_floor SET code = code")


def last_position(database_url: str) -> int:
    with psycopg.connect(database_url) as conn:
        (position,) = conn.execute("SELECT max(position) FROM events").fetchone() or (None,)
        assert position is not None
        return int(position)


def test_replication_moves_a_running_installation_without_loss(open_directory: Path, run: Run) -> None:
    home, web_port = open_directory / "postgresql", free_port()
    base_url = f"http://{LOOPBACK}:{web_port}"
    (home / "password").write_text(PASSWORD)
    (home / "password").chmod(0o644)
    old = Cluster(OLD, home / "old", free_port(), run)
    new = Cluster(find_binaries(Account.nobody()), home / "new", free_port(), run)
    for cluster in (old, new):
        cluster.create("-U", "postgres", "-A", "scram-sha-256", f"--pwfile={home / 'password'}")
    on_old, on_new, settings_of_shell, copy, switch, return_to_old = (*blocks("sql"), *blocks("sh"))
    assert re.findall(r"^(old|new)=postgresql://waymark:", settings_of_shell, re.MULTILINE) == ["old", "new"]
    old_url, new_url = (each.url_of("waymark", PASSWORD, "waymark") for each in (old, new))

    with temporary_redis() as redis, running_cluster(old, "-c wal_level=logical"), running_cluster(new):
        with psycopg.connect(old.url_of("postgres", PASSWORD, "postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE ROLE waymark LOGIN PASSWORD '{PASSWORD}'")
            conn.execute("CREATE DATABASE waymark OWNER waymark")
            conn.execute(on_old)
        with psycopg.connect(new.url_of("postgres", PASSWORD, "postgres"), autocommit=True) as conn:
            for statement in on_new.split(";\n"):
                conn.execute(statement)
        with (
            installation(open_directory, {"DATABASE_URL": old_url, "REDIS_URL": redis.url}) as before,
            installation(open_directory, {"DATABASE_URL": new_url, "REDIS_URL": redis.url}) as after,
        ):
            before.migrate(CHECKOUT)
            web, *others = start_processes(before, web_port)
            load = Load(base_url)
            players = [register(load) for _ in range(PLAYERS)]
            game = make_game(load, register(load), players)
            variables = {**before.environment, "old": old_url, "new": new_url}
            with Follower(base_url, f"/ws/{players[-1].id}", players[-1]) as follower:
                with scanning(load, game):
                    load.until_accepted(100)
                    run_block(copy, variables)
                    load.until_accepted(100)
                    for process in reversed(others):
                        process.stop()
                    # A process that still runs can no longer write, so no scan is accepted and left behind.
                    run_block(switch, variables)
                    load.until_refused()
                    assert_same_rows(old_url, new_url)
                    web.stop()
                    position = last_position(old_url)
                    start_processes(after, web_port)
                    load.until_accepted(100)
                assert_settled_once(new_url, load.accepted)
                eventually(lambda: "reset" in {event["event"] for event in follower.received})
            assert set(load.answers) == {202, 503}
            assert last_position(new_url) > position
            with psycopg.connect(new_url) as conn:
                assert conn.info.server_version >= 160_000
                numbered = conn.execute("SELECT count(*) FROM events WHERE position IS NULL").fetchone()
                assert numbered == (0,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                write(old_url)
            run_block(return_to_old, variables)
            write(old_url)
            assert first_event(base_url, players[-1], str(position)) == "reset"
