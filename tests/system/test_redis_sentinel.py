"""All of Waymark on a Redis whose master fails under load, and whose replica takes over."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from script.stack import RunningServer, running_server
from script.stack.redis import find_binary
from tests.support.polling import eventually
from tests.support.redis_sentinel import SentinelCluster, sentinel_cluster
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, set_up
from tests.system.processes import ENVIRONMENT, halted

pytestmark = [pytest.mark.system, pytest.mark.long]

VALKEY = shutil.which("valkey-server")
SERVERS = [
    pytest.param(None, id="redis"),
    pytest.param(
        VALKEY and Path(VALKEY),
        id="valkey",
        marks=pytest.mark.skipif(VALKEY is None, reason="valkey-server is not installed here"),
    ),
]


@pytest.fixture(scope="module", params=SERVERS)
def cluster(request: pytest.FixtureRequest) -> Iterator[SentinelCluster]:
    with sentinel_cluster(request.param or find_binary()) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(cluster: SentinelCluster) -> Iterator[RunningServer]:
    with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, "REDIS_URL": cluster.url}) as running:
        yield running


@pytest.fixture
def stage(server: RunningServer, app: Any) -> Stage:
    return set_up(server, app)


def test_killed_master_loses_no_scan(stage: Stage, cluster: SentinelCluster) -> None:
    with stage.followed() as (player, organization):
        old = cluster.master_port()
        with stage.load.under_way(stage.game.scans(600)):
            stage.load.until_accepted(100)
            cluster.nodes[old].kill()
            cluster.await_failover(old)
        assert set(stage.load.answers) == {202}
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)
        assert eventually(lambda: stage.load.ask("GET", "/readyz").status == 200)
    cluster.start_node(old, replica_of=cluster.master_port())
    cluster.await_replica(old)


def test_halted_master_loses_no_scan(stage: Stage, cluster: SentinelCluster) -> None:
    """It accepts connections and never answers. When it continues, it takes itself for the master at first."""
    with stage.followed() as (player, organization):
        old = cluster.master_port()
        with ExitStack() as halting:
            with stage.load.under_way(stage.game.scans(600)):
                stage.load.until_accepted(100)
                halting.enter_context(halted([cluster.nodes[old].process.pid]))
                cluster.await_failover(old)
            stage.load.hand_in_all(stage.game.scans(100, seed=2))
        cluster.await_replica(old)
        assert set(stage.load.answers) == {202}
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)
