"""A streaming replica of an embedded PostgreSQL, which can be behind on purpose."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from script.stack import EmbeddedPostgres
from script.stack.files import private_directory, temporary_directory, write_private
from script.stack.process import Command, kill_group
from tests.support.polling import eventually


class Replica(EmbeddedPostgres):
    """A copy of the primary, made by pg_basebackup, that replays `delay_seconds` behind it."""

    def __init__(self, data: Path, primary_url: str, *, delay_seconds: float = 0) -> None:
        super().__init__(data, durable=False)
        self.primary_url, self.delay_seconds = primary_url, delay_seconds

    def command(self) -> Command:
        command = super().command()
        delay = f"recovery_min_apply_delay={round(self.delay_seconds * 1000)}ms"
        # Without max_standby_streaming_delay, a query of a test would hold up the replay for 30 seconds.
        return replace(command, argv=(*command.argv, "-c", delay, "-c", "max_standby_streaming_delay=200ms"))

    def kill(self) -> None:
        """SIGKILL all of its processes, as a machine that dies. `start` starts it again."""
        assert self._process is not None
        kill_group(self._process.pid)
        self._process.wait()
        self._process = None

    def until_replayed(self) -> None:
        """Return once the replica has all that the primary has committed until now."""
        with psycopg.connect(self.primary_url) as primary:
            position = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        with psycopg.connect(self.url, autocommit=True) as conn:
            eventually(lambda: conn.execute("SELECT %s <= pg_last_wal_replay_lsn()", position).fetchone() == (True,))

    def _initialise(self) -> None:
        draft = self._cluster.with_name("copy")
        private_directory(draft)
        if self._account:
            os.chown(draft, self._account.uid, self._account.gid)
        source = Command(
            (
                str(self._binaries / "pg_basebackup"), "--pgdata", str(draft), "--dbname", self.primary_url,
                "--checkpoint", "fast", "--write-recovery-conf", "--no-sync",
            ),
            signal.SIGKILL,
            account=self._account,
            environment={"LC_ALL": "C"},
        )  # fmt: skip
        outcome = subprocess.run(source.leashed(), cwd="/", env=source.environment, capture_output=True, text=True)
        assert outcome.returncode == 0, outcome.stderr
        draft.rename(self._cluster)


@contextmanager
def streaming_replica(primary_url: str, *, delay_seconds: float = 0) -> Iterator[Replica]:
    with temporary_directory("waymark-replica-") as data:
        # The copy has the password of the primary.
        password = psycopg.conninfo.conninfo_to_dict(primary_url)["password"]
        write_private(data / "password", str(password))
        replica = Replica(data, primary_url, delay_seconds=delay_seconds)
        try:
            with replica:
                yield replica
        finally:
            replica.destroy()
            shutil.rmtree(data, ignore_errors=True)
