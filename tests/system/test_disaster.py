"""The server is lost with its disk. Its last backup is restored into another cluster, and clients go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from script.stack.files import temporary_directory
from script.stack.postgres import EmbeddedPostgres
from script.stack.running_server import CHECKOUT, RunningServer, running_server
from tests.support.callers import SignedInPlayer
from tests.support.polling import eventually, have_exited
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, set_up
from tests.system.follower import Follower
from tests.system.load import Load, Scan
from tests.system.processes import ENVIRONMENT, send

pytestmark = [pytest.mark.system, pytest.mark.long]

SERVER = {**ENVIRONMENT, **SERVER_ENVIRONMENT}


@pytest.fixture
def cluster() -> Iterator[EmbeddedPostgres]:
    """Another PostgreSQL server, with an empty database."""
    with temporary_directory("waymark-restored-") as data:
        postgres = EmbeddedPostgres(data, durable=False)
        with ExitStack() as stack:
            stack.callback(postgres.destroy)
            yield stack.enter_context(postgres)


def waymark(*arguments: object, **environment: str) -> str:
    """Run a command as an operator would."""
    done = subprocess.run(
        (sys.executable, "-m", "workers.cli", *map(str, arguments)),
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_clients_continue_on_a_restored_server(app: Any, cluster: EmbeddedPostgres, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    with running_server(env=SERVER) as lost:
        stage = set_up(lost, app)
        player = stage.game.players[-1]
        scans = [*stage.game.scans(400), *(Scan(player, stage.game.codes["open"]) for _ in range(20))]
        with stage.follow_player() as follower:
            with stage.load.under_way(scans):
                stage.load.until_accepted(150)
                waymark("backup", backups, **lost.urls)
            owner = refresh(stage.load, stage.game.owner)
            after_backup = Scan(player, stage.game.codes["open"])
            lost_scan = stage.load.hand_in(after_backup)
            eventually(lambda: str(lost_scan) in heard_scans(follower))
            xid = burn_transactions(stage.database_url)
            end(lost)

            waymark("restore", backups, DATABASE_URL=cluster.url, DATABASE_DIRECT_URL="")
            assert "passed" in waymark("drill", backups, DATABASE_URL=cluster.url, DATABASE_DIRECT_URL="")
            kept = stored(cluster.url)
            assert kept.items() <= stage.load.accepted.items()
            assert len(kept) < len(stage.load.accepted), "every scan was in the backup"
            assert transaction_id(cluster.url) < xid

            data, port = tmp_path / "data", urlsplit(lost.base_url).port
            waymark("files", "adopt", DATABASE_URL=cluster.url, FILES_DIR=str(data / "files"))
            with running_server(env=SERVER | {"DATABASE_URL": cluster.url}, data=data, port=port) as restored:
                load = Load(restored.base_url)
                load.hand_in_all([*scans, after_backup])
                new = Stage(restored, load, stage.game, cluster.url)
                new.assert_settled_once()
                assert kept.items() <= load.accepted.items(), "a scan of the backup was accepted twice"
                refresh(load, owner)
                last = load.hand_in(Scan(player, stage.game.codes["open"]))
                eventually(lambda: str(last) in heard_scans(follower))
                assert_reset_once(follower, cluster.url, player.id)


def assert_reset_once(follower: Follower, database_url: str, player_id: UUID) -> None:
    """The follower heard one reset, and then every event of the restored server."""
    types = [event["event"] for event in follower.received]
    assert types.count("reset") == 1
    later = follower.received[types.index("reset") + 1 :]
    with psycopg.connect(database_url) as conn:
        rows = conn.execute(
            "SELECT position::text FROM events WHERE player_id = %s AND position >= %s ORDER BY position",
            (player_id, int(later[0]["id"])),
        ).fetchall()
    eventually(lambda: len(follower.received) >= len(types) - len(later) + len(rows))
    assert [event["id"] for event in follower.received[types.index("reset") + 1 :]] == [row[0] for row in rows]


def refresh(load: Load, person: SignedInPlayer) -> SignedInPlayer:
    """Use the refresh token, and return the person with the next one."""
    answer = load.ask("POST", "/auth/refresh", Authorization=f"Bearer {person.refresh_token}")
    assert answer.status == 200, answer.data
    tokens = answer.json()
    return SignedInPlayer(person.id, person.session_id, tokens["access_token"], tokens["refresh_token"])


def heard_scans(follower: Follower) -> set[str]:
    return {event["scan_id"] for event in follower.received if event["event"] == "scan_result"}


def end(server: RunningServer) -> None:
    """Kill every process, as a host that loses power."""
    pids = server.pids("supervisor")
    send(signal.SIGKILL, pids)
    eventually(lambda: have_exited(pids))


def burn_transactions(database_url: str) -> int:
    """Use many transaction ids. Another cluster then has lower ones."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        for _ in range(3_000):
            conn.execute("SELECT pg_current_xact_id()")
    return transaction_id(database_url)


def transaction_id(database_url: str) -> int:
    with psycopg.connect(database_url, autocommit=True) as conn:
        row = conn.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        assert row is not None
        return int(row[0])


def stored(database_url: str) -> dict[tuple[UUID, str], UUID]:
    with psycopg.connect(database_url) as conn:
        rows = conn.execute("SELECT player_id, nonce, id FROM player_scans")
        return {(player_id, nonce): scan_id for player_id, nonce, scan_id in rows}
