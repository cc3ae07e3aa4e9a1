"""The drill: restore a backup into a scratch database, migrate it to head, and check what must hold in it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from shared.analytics import rollup
from shared.backup import invariants
from shared.backup.dump import connect
from shared.backup.errors import BackupDamaged, BackupError
from shared.backup.manifest import Manifest
from shared.backup.progress import Report, ignore
from shared.backup.restore import restore
from shared.infra import event_log
from shared.infra.db import Conn
from shared.infra.event_sequencer import Sequencer, identify_server
from shared.quests.replay import ReplayCheckpoint, replay

CHECKOUT = Path(__file__).parents[2]
SCRATCH = "waymark_drill"
MIGRATION_SECONDS = 3_600
BATCH = 3_000


@dataclass(frozen=True)
class DrillReport:
    """What a passed drill restored and compared."""

    backup: Manifest
    quest_states: int
    rollup_day: date | None


def drill(directory: Path, server_url: str, report: Report = ignore) -> DrillReport:
    """Prove that the backup in a directory can be restored, on the server of a URL. Raise BackupError if it cannot.

    Raise BackupDamaged if the backup is not as it was written, or its data breaks a promise.
    """
    with scratch_database(server_url) as url:
        backup = restore(directory, url, report=report)
        report("Migrating.")
        _migrate(url)
        report("Checking what must hold.")
        with connect(url) as conn:
            broken = invariants.violations(conn)
            states, differences = _replay(conn)
            if differences:
                broken["a quest state that differs from its events"] = differences
            day = _roll_up(conn)
            if day is not None and (differing := invariants.differing_rollups(conn, day)):
                broken[f"a rollup of {day} that differs from the scans"] = differing
    if broken:
        counts = "; ".join(f"{promise}: {count}" for promise, count in broken.items())
        raise BackupDamaged(f"The data of {backup.name} breaks promises. {counts}.")
    return DrillReport(backup, states, day)


@contextmanager
def scratch_database(server_url: str) -> Iterator[str]:
    """Create the scratch database on a server, and drop it afterwards. Yield its URL."""
    parts = urlsplit(server_url)
    # geturl() drops `//` before an empty host, as in `postgresql:///waymark?host=/run/postgresql`.
    url = f"{parts.scheme}://{parts.netloc}/{SCRATCH}" + (f"?{parts.query}" if parts.query else "")
    with connect(server_url) as conn:
        try:
            # Not with FORCE: the scratch database of a drill that still runs has a connection.
            conn.execute("DROP DATABASE IF EXISTS waymark_drill")
            conn.execute("CREATE DATABASE waymark_drill TEMPLATE template0 ENCODING 'UTF8'")
        except psycopg.errors.ObjectInUse:
            raise BackupError("Another drill runs on this server.") from None
        except psycopg.errors.InsufficientPrivilege:
            raise BackupError(
                "A drill needs a role that may create databases. Grant CREATEDB, or set BACKUP_DRILL_URL."
            ) from None
        occupied = connect(url)
        try:
            yield url
        finally:
            occupied.close()
            # The session that created it may have been closed meanwhile.
            with connect(server_url) as own:
                own.execute("DROP DATABASE IF EXISTS waymark_drill WITH (FORCE)")


def _migrate(url: str) -> None:
    environment = os.environ | {"DATABASE_URL": url, "DATABASE_DIRECT_URL": ""}
    migrated = subprocess.run(
        [sys.executable, "-m", "migrations"],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MIGRATION_SECONDS,
    )
    if migrated.returncode != 0:
        raise BackupError(f"The restored database cannot be migrated: {' '.join(migrated.stderr.splitlines()[-3:])}")


def _replay(conn: Conn) -> tuple[int, int]:
    """Return the number of quest states, and how many of them differ from the fold of their events."""
    checkpoint = ReplayCheckpoint()

    @contextmanager
    def transaction() -> Iterator[Conn]:
        with conn.transaction():
            yield conn

    for batch in replay(checkpoint, transaction=transaction):
        checkpoint = batch.checkpoint
    return checkpoint.states, checkpoint.differences


def _roll_up(conn: Conn) -> date | None:
    """Number all events and roll them up, as relay and workers would. Return a day with rollups."""
    # The scratch database has no clients: it needs no gap in its positions.
    conn.execute("UPDATE log_servers SET server = %(server)s", {"server": identify_server(conn)})
    sequencer = Sequencer(conn)
    sequencer.number(limit=BATCH)
    while sequencer.has_more:
        sequencer.number(limit=BATCH)
    added = BATCH
    while added == BATCH:
        with conn.transaction():
            event_log.lock_positions(conn)
            added = rollup.roll_up_scans(conn, limit=BATCH)
    return invariants.sample_day(conn)
