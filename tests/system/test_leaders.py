"""Two schedulers and two relays at once: one of each leads, and the other takes over when it dies."""

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import psutil
import psycopg
import pytest
import redis

from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.load import Scan
from tests.system.processes import OwnProcess, halted, log_lines, own_process, restarted

pytestmark = pytest.mark.system


def test_a_second_relay_waits_and_takes_over(stage: Stage, log_file: Callable[[str], Path]) -> None:
    with own_process(stage.server, log_file("relay"), "workers.relay") as second:
        second.until_it_says("leader_standby")
        with stage.followed() as (player, organization):
            with stage.load.under_way(stage.game.scans(300)):
                stage.load.until_accepted(100)
                take_over(stage, "relay", second)
            with stage.load.under_way(stage.game.scans(300, seed=2)):
                stage.load.until_accepted(100)
                second.kill()  # and back again
            stage.assert_settled_once()
            stage.assert_heard_all(player, organization)


def test_a_second_scheduler_waits_and_takes_over(stage: Stage, log_file: Callable[[str], Path]) -> None:
    with (
        own_process(stage.server, log_file("scheduler"), "workers.scheduler") as second,
        redis.Redis.from_url(stage.server.urls["REDIS_URL"]) as client,
    ):
        second.until_it_says("leader_standby")
        assert senders_of_sweeps(client) <= ports(stage.server.pids("scheduler"))
        take_over(stage, "scheduler", second)
        assert senders_of_sweeps(client) <= ports(second.pids)
        stage.load.hand_in(Scan(stage.game.players[0], stage.game.codes["once"]))
        stage.assert_settled_once()


@pytest.mark.parametrize("name", ["relay", "scheduler"])
def test_standby_leads_while_the_leader_is_suspended(stage: Stage, log_file: Callable[[str], Path], name: str) -> None:
    with own_process(stage.server, log_file(name), f"workers.{name}") as second:
        second.until_it_says("leader_standby")
        before = standbys(stage, name)
        with halted(stage.server.pids(name)):
            second.until_it_says("leader_elected")
            stage.load.hand_in(Scan(stage.game.players[0], stage.game.codes["once"]))
            stage.assert_settled_once()
        eventually(lambda: standbys(stage, name) > before)
        assert leaders(stage, name) == 1
        assert "leader_standby" not in second.output().partition("leader_elected")[2]


def take_over(stage: Stage, name: str, second: OwnProcess) -> None:
    """Kill the leader, and start it again only when the other one leads."""
    assert "leader_elected" not in second.output()
    assert leaders(stage, name) == 1
    with halted([stage.server.process.pid]):
        killed = stage.server.kill(name)
        second.until_it_says("leader_elected")
    restarted(stage.server, name, than=killed)
    assert leaders(stage, name) == 1


def standbys(stage: Stage, name: str) -> int:
    """Return how often the server's process became a standby."""
    return sum(line["event"] == "leader_standby" and line["name"] == name for line in log_lines(stage.server))


def leaders(stage: Stage, name: str) -> int:
    with psycopg.connect(stage.database_url) as conn:
        number = crc32(f"waymark:{name}".encode())
        return conn.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s::bigint::oid", (number,)
        ).rowcount


def senders_of_sweeps(client: "redis.Redis", count: int = 3) -> set[str]:
    """The ports from which the next polls were sent to Redis."""
    found: list[str] = []
    with client.monitor() as monitor:
        for said in monitor.listen():
            if "ScansPending" in said["command"] and "ZADD" in said["command"]:
                found.append(str(said["client_port"]))
            if len(found) == count:
                break
    return set(found)


def ports(pids: list[int]) -> set[str]:
    """The local ports of these processes' connections."""
    found = [connection for pid in pids for connection in psutil.Process(pid).net_connections("tcp")]
    return {str(connection.laddr.port) for connection in found}
