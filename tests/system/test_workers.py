"""Workers that are killed, halted or stopped while they work."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.invariants import pending
from tests.system.processes import halted, own_process, restarted, send

pytestmark = pytest.mark.system


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_a_killed_worker_loses_no_scan_and_judges_none_twice(stage: Stage, kills: int) -> None:
    for kill in range(kills):
        with stage.load.under_way(stage.game.scans(2_000, seed=kill)):
            stage.load.until_accepted(1_000)
            killed = stage.server.kill("worker")
            assert len(killed) > 1, "with its children"
            restarted(stage.server, "worker", than=killed)
    stage.assert_settled_once()


@pytest.mark.parametrize("halts", [1, pytest.param(10, marks=pytest.mark.long)])
def test_a_halted_worker_changes_nothing_when_it_resumes(
    stage: Stage, log_file: Callable[[str], Path], halts: int
) -> None:
    """It is halted for longer than its lease."""
    with own_process(stage.server, log_file("second"), "dramatiq", "workers.main", "--processes", "1") as second:
        second.until_it_says("ready for action")
        for halt in range(halts):
            with stage.load.under_way(stage.game.scans(200, seed=halt)):
                stage.load.until_accepted(100)
                with halted(stage.server.pids("worker")):
                    eventually(partial(settled, stage, list(stage.load.accepted.values())))
        stage.assert_settled_once()


def test_killing_bulk_stops_no_worker(stage: Stage) -> None:
    workers = stage.server.pids("worker")
    with stage.load.under_way(stage.game.scans(300)):
        stage.load.until_accepted(100)
        killed = stage.server.kill("bulk")
        assert not set(killed) & set(workers)
        restarted(stage.server, "bulk", than=killed)
    stage.assert_settled_once()
    assert stage.server.pids("worker") == workers


def settled(stage: Stage, scans: list[UUID]) -> bool:
    with psycopg.connect(stage.database_url) as conn:
        return not conn.execute(
            "SELECT FROM player_scans WHERE status = 'pending' AND id = ANY(%s) LIMIT 1", (scans,)
        ).rowcount


def test_stopped_workers_finish_their_leases(stage: Stage) -> None:
    with stage.load.under_way(stage.game.scans(300)):
        stage.load.until_accepted(100)
        pids = stage.server.pids("worker")
        send(signal.SIGTERM, pids[:1])
        restarted(stage.server, "worker", than=pids)
    stage.assert_settled_once()


def test_a_scan_inserted_by_hand_is_published_and_judged(stage: Stage) -> None:
    player, code = stage.game.players[-1], stage.game.codes["once"]
    with psycopg.connect(stage.database_url, autocommit=True) as conn, stage.follow_player() as follower:
        conn.execute(
            "INSERT INTO player_scans (player_id, qr_code_id) VALUES (%s, (SELECT id FROM qr_codes WHERE code = %s))",
            (player.id, code),
        )
        eventually(lambda: len(follower.received) >= 3)
        assert pending(conn) == 0
    assert [event["event"] for event in follower.received] == ["qr_scan", "scan_result", "reward_granted"]
    scanned, settled, granted = follower.received
    assert scanned["qr_code"] == settled["qr_code"] == code
    assert (settled["status"], granted["reward"]) == ("success", "key")
