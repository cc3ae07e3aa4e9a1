"""Live events through a relay that is killed and a web process that stops."""

import signal

import pytest

from tests.system.conftest import Stage
from tests.system.processes import restarted, send

pytestmark = pytest.mark.system

GOING_AWAY = 1001


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.long)])
def test_a_killed_relay_leaves_no_gap_and_no_double(stage: Stage, kills: int) -> None:
    """To sockets that stay, and to one that keeps hanging up and resuming."""
    with stage.follow_player(hang_up_after=5) as restless, stage.followed() as (steady, organization):
        for kill in range(kills):
            with stage.load.under_way(stage.game.scans(200, seed=kill)):
                stage.load.until_accepted(100)
                killed = stage.server.kill("relay")
                restarted(stage.server, "relay", than=killed)
        stage.assert_settled_once()
        stage.assert_heard_all(steady, organization)
        stage.assert_heard_all(restless, organization)
        assert restless.opened > 2
        assert steady.opened == 1


@pytest.mark.parametrize("stops", [1, pytest.param(8, marks=pytest.mark.long)])
def test_web_stopped_under_load_loses_no_acknowledged_scan(stage: Stage, stops: int) -> None:
    with stage.followed() as (player, organization):
        for stop in range(stops):
            with stage.load.under_way(stage.game.scans(400, seed=stop)):
                stage.load.until_accepted(150)
                pids = stage.server.pids("web")
                send(signal.SIGTERM, pids[:1])
                restarted(stage.server, "web", than=pids)
                for follower in (player, organization):
                    follower.until_opened(stop + 2)
        assert player.closed_with == organization.closed_with == [GOING_AWAY] * stops
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)
