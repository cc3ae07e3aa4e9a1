"""Point-in-time recovery as docs/backup.md describes it: a base backup, archived changes, and a time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from script.stack.files import temporary_directory
from script.stack.postgres import EmbeddedPostgres, find_binaries
from script.stack.process import Command
from script.stack.running_server import CHECKOUT
from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.infra.event_sequencer import Sequencer
from tests.support.factories import make_player
from tests.support.polling import eventually

pytestmark = [pytest.mark.system, pytest.mark.long]


class ArchivedPostgres(EmbeddedPostgres):
    """A server with more settings."""

    def __init__(self, data: Path, **settings: str) -> None:
        super().__init__(data)
        self._settings = settings

    def command(self) -> Command:
        command = super().command()
        added = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        return Command(
            (*command.argv, *added), command.stop_signal, command.stop_within, command.account, command.environment
        )

    @property
    def cluster(self) -> Path:
        return self._cluster


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the server's account can write to."""
    with temporary_directory("waymark-recovery-") as directory:
        (directory / "archive").mkdir()
        (directory / "archive").chmod(0o777)
        yield directory


def test_recovery_returns_to_a_time(place: Path) -> None:
    archive = place / "archive"
    archiving = {"archive_mode": "on", "archive_command": f"test ! -f {archive}/%f && cp %p {archive}/%f"}
    with ExitStack() as stack:
        original = ArchivedPostgres(place / "original", **archiving)
        stack.callback(original.destroy)
        with original:
            subprocess.run(
                (sys.executable, "-m", "migrations"),
                cwd=CHECKOUT,
                env=os.environ | {"DATABASE_URL": original.url},
                check=True,
                timeout=120,
            )
            base_backup(original, place / "base")
            with psycopg.connect(original.url, autocommit=True) as conn:
                player_id, sent = number_one(conn)
                at = exactly_one(conn.execute("SELECT clock_timestamp()::text"))[0]
                lost = number_one(conn)[1]
                conn.execute("DELETE FROM players")
                segment = exactly_one(conn.execute("SELECT pg_walfile_name(pg_switch_wal())"))[0]
            eventually((archive / segment).exists)
        recovered = recover(original, place / "base", archive, at)
        stack.callback(recovered.destroy)
        with recovered, psycopg.connect(recovered.url, autocommit=True) as conn:
            eventually(lambda: exactly_one(conn.execute("SELECT NOT pg_is_in_recovery()"))[0])
            assert conn.execute("SELECT id FROM players").fetchall() == [(player_id,)]
            assert event_log.last_position(conn) == sent
            Sequencer(conn)  # as the relay starts
            assert event_log.can_resume(conn, sent)
            assert not event_log.can_resume(conn, lost), "a client that heard a lost event gets no reset"


def number_one(conn: Conn) -> tuple[object, int]:
    """Make a player, and number an event as the relay does. Return both the player and the position."""
    player_id = make_player(conn)
    conn.execute("INSERT INTO events (type, player_id) VALUES ('test', %s)", (player_id,))
    with psycopg.connect(conn.info.dsn, password=conn.info.password, autocommit=True) as relay:
        return player_id, Sequencer(relay).number(limit=10)[-1].position


def base_backup(server: EmbeddedPostgres, directory: Path) -> None:
    program = find_binaries(None) / "pg_basebackup"
    command = (str(program), "--pgdata", str(directory), "--checkpoint=fast", f"--dbname={server.url}")
    subprocess.run(command, check=True, timeout=120)


def recover(original: ArchivedPostgres, base: Path, archive: Path, at: str) -> ArchivedPostgres:
    """Return a server that starts from the base backup, and recovers to this time."""
    data = base.with_name("recovered")
    owner = original.cluster.stat()
    shutil.copytree(base, data / "cluster")
    shutil.copy(original.data / "password", data)
    (data / "cluster" / "recovery.signal").touch()
    for path in [data / "cluster", *(data / "cluster").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)
    return ArchivedPostgres(
        data, restore_command=f"cp {archive}/%f %p", recovery_target_time=at, recovery_target_action="promote"
    )
