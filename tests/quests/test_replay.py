"""Replays compare states computed from events with stored states, in batches of any size."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from uuid import UUID

import psutil
import pytest

from bench.quests_histories import fill
from script.stack.running_server import CHECKOUT
from shared.infra import db
from shared.infra.db import Conn
from shared.quests import replay
from shared.quests.replay import ReplayCheckpoint
from tests.quests.scan_quests import annul, make_landmarks, make_quest, visit
from tests.support.command_line import error_of, run, waymark, waymark_json
from tests.support.factories import make_org, make_player
from workers.cli import quests
from workers.cli.quest_replay import LOCK


def replayed(
    batch: int = 7, checkpoint: ReplayCheckpoint | None = None, player_id: UUID | None = None
) -> tuple[ReplayCheckpoint, list[str]]:
    """Return the last checkpoint, and all differences."""
    checkpoint, differences = checkpoint or ReplayCheckpoint(), []
    for done in replay.replay(checkpoint, player_id=player_id, batch=batch):
        checkpoint = done.checkpoint
        differences += [str(difference) for difference in done.differences]
    return checkpoint, differences


def test_replayed_states_equal_stored_states(conn: Conn) -> None:
    org, players = make_org(conn), [make_player(conn) for _ in range(4)]
    make_quest(conn, org, auto_claim=True)
    make_quest(conn, org, "daily", daily=True)
    for player in players:
        scans = [visit(conn, player, code) for code in make_landmarks(conn, org, 4)]
        annul(scans[1])
    checkpoint, differences = replayed()
    assert differences == []
    assert checkpoint.states == 8
    assert conn.execute("SELECT count(*) FROM quest_events").fetchone() == (checkpoint.events,)
    assert checkpoint.folded_digest == checkpoint.stored_digest != b""


@pytest.mark.parametrize("batch", [1, 2, 5, 16, 17, 1000])
def test_the_digest_does_not_depend_on_the_batch_size(conn: Conn, batch: int) -> None:
    events = fill(conn, players=5, each=16)
    checkpoint, differences = replayed(batch)
    whole, _ = replayed(10_000)
    assert (checkpoint, differences) == (whole, [])
    assert (checkpoint.events, checkpoint.states) == (events, 10)


def test_each_difference_is_reported(conn: Conn) -> None:
    fill(conn, players=4, each=8)
    ids = [row[0] for row in conn.execute("SELECT DISTINCT player_id FROM quest_states ORDER BY 1")]
    conn.execute("UPDATE quest_states SET progress = 2, claims = 9 WHERE player_id = %s AND quest = 'walk'", (ids[0],))
    conn.execute("DELETE FROM quest_states WHERE player_id = %s AND quest = 'sign-in'", (ids[1],))
    conn.execute("DELETE FROM quest_events WHERE player_id = %s AND quest = 'walk'", (ids[3],))
    checkpoint, differences = replayed(5)
    assert differences == [
        f"player {ids[0]}, walk: progress 2, by events 0; claims 9, by events 2",
        f"player {ids[1]}, sign-in: events without a state",
        f"player {ids[3]}, walk: a state without events",
    ]
    assert checkpoint.differences == 3
    assert checkpoint.folded_digest != checkpoint.stored_digest


def test_a_replay_of_one_player_reads_only_their_events(conn: Conn) -> None:
    fill(conn, players=3, each=8)
    rows = conn.execute("SELECT DISTINCT player_id FROM quest_states ORDER BY 1").fetchall()
    conn.execute("UPDATE quest_states SET progress = 1 WHERE player_id = %s", rows[0])
    assert replayed(3, player_id=rows[1][0])[0].states == 2
    assert len(replayed(3, player_id=rows[0][0])[1]) == 2
    assert replayed(3, player_id=rows[2][0])[1] == []


@contextmanager
def stopped() -> Iterator[None]:
    """Every replay gets SIGTERM when it starts."""
    with pytest.MonkeyPatch.context() as patches:
        event = threading.Event()
        event.set()
        patches.setattr(quests, "stopping_on_signals", lambda: nullcontext(event))
        yield


def test_an_interrupted_replay_continues(conn: Conn) -> None:
    events = fill(conn, players=5, each=16)
    with stopped():
        for k in range(3):
            result = run("quests", "replay", "--batch", 40)
            assert result.exit_code == 130
            assert "Stopped after" in result.stdout
            assert ("Continuing after" in result.stderr) is bool(k)
    result = run("quests", "replay")
    output = result.stdout
    assert "Continuing after" in result.stderr
    assert f"{events:,} events folded into 10 states" in output
    assert "No difference" in output
    whole, _ = replayed()
    assert whole.folded_digest.hex() in output
    assert conn.execute("SELECT count(*) FROM quest_replay_checkpoints").fetchone() == (0,)


def test_a_second_replay_of_all_players_exits(conn: Conn) -> None:
    fill(conn, players=1, each=8)
    with db.dedicated_connection() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        assert error_of("quests", "replay", "--restart") == "Another replay of all players is running"
    assert waymark_json("quests", "replay")["is_complete"]


def test_the_exit_status_reports_differences(conn: Conn) -> None:
    fill(conn, players=1, each=8)
    assert "No difference" in waymark("quests", "replay", "--batch", 3)
    conn.execute("UPDATE quest_states SET completions = 100")
    result = run("quests", "replay", "--restart", "--batch", 3, "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    assert len(json.loads(result.stdout)["differences"]) == 2


def test_the_command_replays_all_players(conn: Conn) -> None:
    """Run the command in a separate process."""
    fill(conn, players=1, each=8)
    player = conn.execute("SELECT player_id FROM quest_states LIMIT 1").fetchone()
    assert player is not None
    command = [sys.executable, "-m", "workers.cli", "quests", "replay", "--player", str(player[0])]
    done = subprocess.run(command, cwd=CHECKOUT, env=os.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "No difference"


@pytest.mark.long
def test_a_million_events_are_replayed_in_constant_memory(conn: Conn) -> None:
    events = fill(conn, players=1_000, each=500)
    assert events >= 1_000_000
    checkpoint, sizes = ReplayCheckpoint(), []
    for done in replay.replay(checkpoint):
        checkpoint = done.checkpoint
        assert done.differences == []
        sizes.append(psutil.Process().memory_info().rss)
    assert checkpoint.events == events
    assert checkpoint.folded_digest == checkpoint.stored_digest
    assert max(sizes) - sizes[4] < 64 * 2**20
