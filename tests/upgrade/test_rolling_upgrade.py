"""The next release replaces the last one, process by process, while clients scan and listen."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from script.stack import RunningServer, temporary_postgres, temporary_redis
from script.stack.files import temporary_directory
from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.load import Load, make_game, register
from tests.upgrade import releases
from tests.upgrade.balancer import Balancer, balancing
from tests.upgrade.installation import Installation, ReleaseProcess, installation
from tests.upgrade.scanning import scanning

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.skipif(
        shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None,
        reason="needs the package haproxy",
    ),
]

PLAYERS = 6
LEADERS = ("scheduler", "relay")
CONSUMERS = ("worker", "bulk")


@pytest.fixture
def directory() -> Iterator[Path]:
    # The path of a Unix socket is limited to 107 bytes.
    with temporary_directory("waymark-upgrade-") as made:
        yield made


@contextmanager
def row_locked(database_url: str, code: str) -> Iterator[None]:
    """Hold the lock of a row in an open transaction, as a long report does."""
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT FROM qr_codes WHERE code = %s FOR SHARE", (code,)).rowcount == 1
        yield


def migrate_behind_a_lock(stage: Stage, running: Installation, code: Path) -> None:
    """Migrate while a transaction holds a lock that the migration needs. Scans continue."""
    quiet = stage.load.make(
        f"/api/organizations/{stage.game.org_id}/qr-codes", stage.game.owner, {"scan_type": "item_drop"}
    )
    with row_locked(stage.database_url, quiet["code"]):
        release = running.start(code, "release")
        release.until_it_says("migration_retried")
        stage.load.until_accepted(50)
        eventually(lambda: release.output().count("migration_retried") >= 3)
        assert release.process.poll() is None
    assert release.process.wait(120) == 0, release.output()


def replace_web(running: Installation, balancer: Balancer, code: Path, old: ReleaseProcess) -> None:
    """Start the new process, wait until it gets requests, and stop the old one."""
    running.start(code, "web", PORT=str(balancer.ports["second"]))
    eventually(lambda: balancer.sends_to() == {"first", "second"})
    old.stop()
    eventually(lambda: balancer.sends_to() == {"second"})


def test_upgrade_under_load_fails_no_request(directory: Path) -> None:
    last = releases.copy_last_release(directory / "last")
    expanded, contracted = releases.copy_next_releases(directory)
    with temporary_postgres() as postgres, temporary_redis() as redis, balancing(directory) as balancer:
        urls = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
        with installation(directory, urls) as running:
            running.migrate(last)
            web = running.start(last, "web", PORT=str(balancer.ports["first"]))
            old = {name: running.start(last, name) for name in (*LEADERS, *CONSUMERS)}
            eventually(lambda: balancer.sends_to() == {"first"})
            for name in LEADERS:
                old[name].until_it_says("leader_elected")
            stage = make_stage(balancer, postgres.url)
            with stage.followed() as (player, organization):
                with scanning(stage.load, stage.game):
                    stage.load.until_accepted(50)
                    migrate_behind_a_lock(stage, running, expanded)
                    assert readiness(last, running) == readiness(expanded, running) == 0
                    assert readiness(contracted, running) == 1
                    stage.load.until_accepted(50)

                    for name in LEADERS:
                        standby = running.start(expanded, name)
                        standby.until_it_says("leader_standby")
                        old[name].stop()
                        standby.until_it_says("leader_elected")
                    for name in CONSUMERS:
                        running.start(expanded, name)
                        old[name].stop()
                    replace_web(running, balancer, expanded, web)
                    stage.load.until_accepted(50)

                    running.migrate(contracted)
                    assert readiness(expanded, running) == readiness(contracted, running) == 0
                    assert readiness(last, running) == 1
                    stage.load.until_accepted(50)
                stage.assert_settled_once()
                stage.assert_heard_all(player, organization)
            assert (set(stage.load.answers), stage.load.cuts) == ({202}, 0)
            assert 1001 in player.closed_with


def make_stage(balancer: Balancer, database_url: str) -> Stage:
    """Return clients behind the balancer. Their data is made over HTTP, as the last release stores it."""
    load = Load(balancer.base_url)
    players = [register(load) for _ in range(PLAYERS)]
    server = RunningServer(balancer.directory, balancer.base_url, balancer.process)
    return Stage(server, load, make_game(load, register(load), players), database_url)


def readiness(code: Path, running: Installation) -> int:
    """Return the exit status of the check that a release runs before its processes start."""
    checked = releases.python(
        code, "shared.infra.health", "--only", "postgresql,migrations", environment=os.environ | running.environment
    )
    assert checked.stderr in ("", "not ready: migrations\n")
    return checked.returncode
