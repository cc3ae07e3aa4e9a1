"""All of Waymark with RabbitMQ as its broker, which is killed, blocked and emptied under load."""

from collections.abc import Iterator
from typing import Any

import pytest

from script.stack import RunningServer, running_server
from tests.support.rabbitmq import RabbitServer, needs_rabbitmq
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, assert_tells_none_of, secrets_of, set_up
from tests.system.processes import ENVIRONMENT, halted

pytestmark = [pytest.mark.system, pytest.mark.long, needs_rabbitmq]


@pytest.fixture(scope="module")
def server(rabbitmq: RabbitServer) -> Iterator[RunningServer]:
    rabbitmq.purge()
    with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, "BROKER_URL": rabbitmq.url}) as running:
        yield running
        assert_tells_none_of(secrets_of(running) | {"RabbitMQ": rabbitmq.host.password}, running.output())


@pytest.fixture
def stage(server: RunningServer, app: Any) -> Stage:
    return set_up(server, app)


def test_killed_broker_loses_no_scan(stage: Stage, rabbitmq: RabbitServer) -> None:
    scans = stage.game.scans(600)
    with stage.followed() as (player, organization):
        with stage.load.under_way(scans):
            stage.load.until_accepted(100)
            rabbitmq.kill()
            stage.load.until_accepted(100)
            rabbitmq.start()
        assert set(stage.load.answers) == {202}
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)


def test_halted_broker_loses_no_scan(stage: Stage, rabbitmq: RabbitServer) -> None:
    """It accepts connections and never answers, which is worse than a refused connection."""
    with halted(rabbitmq.pids):
        stage.load.hand_in_all(stage.game.scans(150))
        ready = stage.load.ask("GET", "/readyz")
        assert (ready.status, ready.json()["detail"]) == (503, "Not ready: broker.")
    assert set(stage.load.answers) == {202}
    stage.assert_settled_once()


def test_memory_alarm_delays_no_request_and_loses_no_scan(stage: Stage, rabbitmq: RabbitServer) -> None:
    """An alarm blocks the connections of publishers, without an error."""
    rabbitmq.control("set_vm_memory_high_watermark", "0.00001")
    try:
        stage.load.hand_in_all(stage.game.scans(150))
        assert set(stage.load.answers) == {202}
        assert "message_dropped" in stage.server.output()
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.4")
    stage.assert_settled_once()


def test_queue_deleted_under_its_consumer_is_declared_again(stage: Stage, rabbitmq: RabbitServer) -> None:
    scans = stage.game.scans(600)
    with stage.load.under_way(scans):
        stage.load.until_accepted(100)
        rabbitmq.purge()
    assert set(stage.load.answers) == {202}
    stage.assert_settled_once()


def test_server_that_lost_its_data_gets_queues_again(stage: Stage, rabbitmq: RabbitServer) -> None:
    """As a new server under the same address."""
    with stage.load.under_way(stage.game.scans(300)):
        stage.load.until_accepted(100)
        rabbitmq.control("stop_app")
        rabbitmq.control("force_reset")
        rabbitmq.control("start_app")
    assert set(stage.load.answers) == {202}
    stage.assert_settled_once()
