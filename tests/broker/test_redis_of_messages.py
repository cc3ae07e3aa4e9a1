"""All of Waymark with a Redis for messages alone, which fails under load while the other Redis works."""

from typing import Any

import pytest

from script.stack import running_server
from script.stack.process import kill_group
from script.stack.redis import temporary_redis
from tests.system.conftest import SERVER_ENVIRONMENT, set_up
from tests.system.processes import ENVIRONMENT, halted

pytestmark = [pytest.mark.system, pytest.mark.long]


def test_redis_of_messages_that_is_killed_or_halted_loses_no_scan(app: Any) -> None:
    with (
        temporary_redis() as broker,
        running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, "BROKER_URL": broker.url}) as server,
    ):
        stage = set_up(server, app)
        assert broker.pid is not None
        with stage.followed() as (player, organization):
            with stage.load.under_way(stage.game.scans(600)):
                stage.load.until_accepted(100)
                kill_group(broker.pid)
                stage.load.until_accepted(100)
                broker.start()
            with halted([broker.pid]):
                stage.load.hand_in_all(stage.game.scans(100, seed=2))
            assert set(stage.load.answers) == {202}
            stage.assert_settled_once()
            stage.assert_heard_all(player, organization)
