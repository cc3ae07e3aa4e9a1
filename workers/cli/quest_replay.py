"""Replay quest events: compute each state from its events, and compare it with the stored one."""

import threading
import time
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

from shared.infra import db
from shared.infra.db import exactly_one
from shared.quests import replay as replaying
from shared.quests.replay import ReplayCheckpoint
from workers.cli.commands import CommandError
from workers.cli.output import say

ALL_PLAYERS = "all"
LOCK = crc32(b"waymark:replay")


@dataclass(frozen=True)
class ReplayResult:
    """A replay that ended, or was stopped. `events_read` are those of this run."""

    checkpoint: ReplayCheckpoint
    differences: list[str]
    events_read: int
    seconds: float
    is_complete: bool


def replay(player_id: UUID | None, *, restart: bool, batch: int, stopping: threading.Event) -> ReplayResult:
    """Replay until the end, or until `stopping` is set. A replay of all players continues where the last one stopped.

    Only one replay of all players runs at a time, because there is one checkpoint.
    """
    if player_id is not None:
        return _replay(player_id, restart=restart, batch=batch, stopping=stopping)
    # The lock belongs to this connection, which stays open until the replay ends.
    with db.dedicated_connection() as conn:
        if not exactly_one(conn.execute("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK}))[0]:
            raise CommandError("Another replay of all players is running")
        return _replay(player_id, restart=restart, batch=batch, stopping=stopping)


def _replay(player_id: UUID | None, *, restart: bool, batch: int, stopping: threading.Event) -> ReplayResult:
    checkpoint = ReplayCheckpoint()
    if player_id is None:
        with db.connection() as conn:
            if restart:
                replaying.delete_checkpoint(conn, ALL_PLAYERS)
            checkpoint = replaying.load_checkpoint(conn, ALL_PLAYERS) or checkpoint
    if checkpoint.events:
        say(f"Continuing after {checkpoint.events:,} events")
    before, began = checkpoint.events, time.perf_counter()
    differences: list[str] = []
    is_complete = True
    for done in replaying.replay(checkpoint, player_id=player_id, batch=batch):
        checkpoint = done.checkpoint
        for difference in map(str, done.differences):
            say(difference)
            differences.append(difference)
        if player_id is None:
            with db.connection() as conn:
                replaying.save_checkpoint(conn, ALL_PLAYERS, checkpoint)
        if stopping.is_set():
            is_complete = False
            break
    if player_id is None and is_complete:
        with db.connection() as conn:
            replaying.delete_checkpoint(conn, ALL_PLAYERS)
    return ReplayResult(checkpoint, differences, checkpoint.events - before, time.perf_counter() - began, is_complete)
