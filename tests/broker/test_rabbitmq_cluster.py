"""All of Waymark on three nodes of RabbitMQ with quorum queues, whose leader fails under load."""

from collections.abc import Iterator
from typing import Any

import pytest

from script.stack import RunningServer, running_server
from tests.support.polling import eventually
from tests.support.rabbitmq import RabbitServer, needs_rabbitmq, rabbit_cluster
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, assert_tells_none_of, secrets_of, set_up
from tests.system.processes import ENVIRONMENT, halted

pytestmark = [pytest.mark.system, pytest.mark.long, needs_rabbitmq]

VIRTUAL_HOST = "waymark"


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RabbitServer]]:
    with rabbit_cluster("rabbit1", "rabbit2", "rabbit3") as nodes:
        nodes[0].control("add_vhost", VIRTUAL_HOST, "--default-queue-type", "quorum")
        nodes[0].control("set_permissions", "--vhost", VIRTUAL_HOST, "waymark", ".*", ".*", ".*")
        yield nodes


@pytest.fixture(scope="module")
def server(cluster: list[RabbitServer]) -> Iterator[RunningServer]:
    urls = ";".join(node.url_of(VIRTUAL_HOST) for node in cluster)
    with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, "BROKER_URL": urls}) as running:
        yield running
        assert_tells_none_of(secrets_of(running) | {"RabbitMQ": cluster[0].host.password}, running.output())


@pytest.fixture
def stage(server: RunningServer, app: Any) -> Stage:
    return set_up(server, app)


def test_killed_leader_loses_no_scan(stage: Stage, cluster: list[RabbitServer]) -> None:
    """First the node that clients are connected to, then the one that leads afterwards."""
    with stage.followed() as (player, organization):
        for seed in (1, 2):
            leader = leader_of("scans", cluster)
            with stage.load.under_way(stage.game.scans(600, seed)):
                stage.load.until_accepted(100)
                leader.kill()
                stage.load.until_accepted(100)
            stage.assert_settled_once()
            leader.start()
            eventually(lambda: members_online("scans", cluster) == len(cluster))
        assert set(stage.load.answers) == {202}
        stage.assert_heard_all(player, organization)


def test_halted_leader_loses_no_scan(stage: Stage, cluster: list[RabbitServer]) -> None:
    """It accepts connections and never answers. Clients continue at another node, before it returns."""
    leader = leader_of("scans", cluster)
    with halted(leader.pids):
        stage.load.hand_in_all(stage.game.scans(150))
        stage.assert_settled_once()
    assert set(stage.load.answers) == {202}


def test_lost_majority_loses_no_scan(stage: Stage, cluster: list[RabbitServer]) -> None:
    """The node that is left accepts connections and messages, and confirms none."""
    with stage.load.under_way(stage.game.scans(600)):
        stage.load.until_accepted(100)
        for node in cluster[1:]:
            node.kill()
        stage.load.until_accepted(100)
        for node in cluster[1:]:
            node.start()
    assert set(stage.load.answers) == {202}
    stage.assert_settled_once()


def leader_of(queue: str, cluster: list[RabbitServer]) -> RabbitServer:
    """Return the node that leads a queue."""
    name = of_queue(queue, "leader", cluster)
    return next(node for node in cluster if node.node == name)


def members_online(queue: str, cluster: list[RabbitServer]) -> int:
    return of_queue(queue, "online", cluster).count("@")


def of_queue(queue: str, column: str, cluster: list[RabbitServer]) -> str:
    running = next(node for node in cluster if node.pid is not None)
    listed = running.control("list_queues", "--vhost", VIRTUAL_HOST, "--no-table-headers", "name", column)
    return dict(line.split("\t") for line in listed.splitlines())[queue]
