"""PostgreSQL 15 is upgraded to the embedded version with pg_upgrade. Clients scan before and after."""

import os
from pathlib import Path

import psycopg
import pytest

from script.stack import temporary_redis
from script.stack.ports import LOOPBACK, free_port
from script.stack.postgres import find_binaries
from script.stack.process import Account
from script.stack.running_server import CHECKOUT
from tests.support.polling import eventually
from tests.system.follower import Follower
from tests.system.invariants import assert_settled_once
from tests.system.load import Load, Scan, make_game, register
from tests.upgrade.clusters import OLD, Cluster, Run, count_rows, first_event, running_cluster, start_processes
from tests.upgrade.installation import installation

PLAYERS = 4

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.skipif(not OLD.exists(), reason="needs the package postgresql-15"),
    pytest.mark.skipif(os.geteuid() != 0, reason="runs the servers as another user, which needs root"),
]


def drop_postgis(conn: psycopg.Connection) -> None:
    """Drop the column and the extension, which the new server does not have."""
    conn.execute("ALTER TABLE qr_codes DROP COLUMN IF EXISTS location")
    conn.execute("DROP EXTENSION IF EXISTS postgis")


def test_upgraded_server_has_every_row_and_settles_scans(open_directory: Path, run: Run) -> None:
    port, web_port, home = free_port(), free_port(), open_directory / "postgresql"
    old = Cluster(OLD, home / "old", port, run)
    new = Cluster(find_binaries(Account.nobody()), home / "new", port, run)
    old.create()
    new.create("--no-data-checksums")
    database_url, base_url = old.url, f"http://{LOOPBACK}:{web_port}"
    with temporary_redis() as redis, running_cluster(old):
        urls = {"DATABASE_URL": database_url, "REDIS_URL": redis.url}
        with installation(open_directory, urls) as running:
            running.migrate(CHECKOUT)
            start_processes(running, web_port)
            load = Load(base_url)
            players = [register(load) for _ in range(PLAYERS)]
            game = make_game(load, register(load), players)
            load.hand_in_all(game.scans(60))
            assert_settled_once(database_url, load.accepted)
            with Follower(base_url, f"/ws/{players[-1].id}", players[-1]) as follower:
                load.hand_in(Scan(players[-1], game.codes["open"]))
                eventually(lambda: follower.received)
                position = str(follower.received[-1]["id"])
            assert_settled_once(database_url, load.accepted)
        with psycopg.connect(database_url, autocommit=True) as conn:
            drop_postgis(conn)
            before = count_rows(conn)

    run(
        *(new.binaries / "pg_upgrade", "--link", "-U", "waymark", "-b", old.binaries, "-B", new.binaries),
        *("-d", old.directory, "-D", new.directory),
    )

    with temporary_redis() as redis, running_cluster(new):
        with psycopg.connect(database_url, autocommit=True) as conn:
            assert conn.info.server_version >= 160_000
            assert count_rows(conn) == before
        with installation(open_directory, urls | {"REDIS_URL": redis.url}) as running:
            running.migrate(CHECKOUT)
            start_processes(running, web_port)
            load.hand_in_all(game.scans(60, seed=2))
            assert_settled_once(database_url, load.accepted)
            # The new server has another identity, and nothing proves that it knows every event of the old one.
            assert first_event(base_url, players[-1], position) == "reset"
