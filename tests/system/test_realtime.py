"""Sockets of one process, and sessions that another process revokes."""

import pytest

from tests.conftest import Player
from tests.realtime.conftest import Socket
from tests.support.command_line import waymark
from tests.support.threaded_server import PATIENCE
from tests.system.test_visits import web
from web.realtime.event_stream import PING_SECONDS, POLICY_VIOLATION

pytestmark = pytest.mark.system


def test_idle_socket_closes_when_an_operator_revokes_its_session(player: Player) -> None:
    """Before its next periodic check."""
    assert PATIENCE < PING_SECONDS
    with web() as (port, _):
        socket = Socket(f"ws://127.0.0.1:{port}/ws/{player.id}", header=player.headers)
        waymark("sessions", "revoke", "--user", player.username)
        assert socket.closed_with() == POLICY_VIOLATION
