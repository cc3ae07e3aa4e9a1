"""Sockets of one process, and logins that another one ends."""

import pytest

from tests.conftest import Player
from tests.live.conftest import Socket
from tests.live.serving import PATIENCE
from tests.visits.test_processes import web
from web.live import PING_SECONDS, POLICY_VIOLATION
from workers import operators

pytestmark = pytest.mark.system


def test_an_idle_socket_is_closed_when_an_operator_ends_its_login(player: Player) -> None:
    """Sooner than it would be looked at of its own accord."""
    assert PATIENCE < PING_SECONDS
    with web() as (port, _):
        socket = Socket(f"ws://127.0.0.1:{port}/ws/{player.id}", header=player.headers)
        operators.revoke_sessions(player.username)
        assert socket.closed_with() == POLICY_VIOLATION
