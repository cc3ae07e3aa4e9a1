"""Replay quest events: compute each state from its events and compare it with the stored one.

    python -m workers.cli.replay_quests [--player ID] [--restart]

An interrupted replay of all players continues where it stopped, unless `--restart` is given. The exit status is 1 if a
state differs.
"""

import argparse
import sys
import threading
import time
from uuid import UUID
from zlib import crc32

from shared.infra import db
from shared.infra.db import exactly_one
from shared.infra.logging import configure
from shared.infra.signals import stop_event
from shared.quests import replay as replaying
from shared.quests.replay import ReplayCheckpoint

ALL_PLAYERS = "all"
LOCK = crc32(b"waymark:replay")


def replay(player_id: UUID | None, *, restart: bool, batch: int, stopping: threading.Event) -> int:
    """Replay and print each difference. Return the exit status, 130 if `stopping` was set.

    Only one replay of all players runs at a time, because there is one checkpoint.
    """
    if player_id is not None:
        return _replay(player_id, restart=restart, batch=batch, stopping=stopping)
    # The lock belongs to this connection, which stays open until the replay ends.
    with db.dedicated_connection() as conn:
        if not exactly_one(conn.execute("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK}))[0]:
            print("Another replay of all players is running")
            return 1
        return _replay(player_id, restart=restart, batch=batch, stopping=stopping)


def _replay(player_id: UUID | None, *, restart: bool, batch: int, stopping: threading.Event) -> int:
    checkpoint = ReplayCheckpoint()
    if player_id is None:
        with db.connection() as conn:
            if restart:
                replaying.delete_checkpoint(conn, ALL_PLAYERS)
            checkpoint = replaying.load_checkpoint(conn, ALL_PLAYERS) or checkpoint
    if checkpoint.events:
        print(f"Continuing after {checkpoint.events:,} events")
    before, began = checkpoint.events, time.perf_counter()
    for done in replaying.replay(checkpoint, player_id=player_id, batch=batch):
        checkpoint = done.checkpoint
        for difference in done.differences:
            print(difference)
        if player_id is None:
            with db.connection() as conn:
                replaying.save_checkpoint(conn, ALL_PLAYERS, checkpoint)
        if stopping.is_set():
            print(f"Stopped after {checkpoint.events:,} events. The next replay continues here")
            return 130
    if player_id is None:
        with db.connection() as conn:
            replaying.delete_checkpoint(conn, ALL_PLAYERS)
    return report(checkpoint, checkpoint.events - before, time.perf_counter() - began)


def report(checkpoint: ReplayCheckpoint, events: int, seconds: float) -> int:
    """Print the result of a replay. Return the exit status, 1 if a state differs."""
    print(f"{checkpoint.events:,} events folded into {checkpoint.states:,} states, {events / seconds:,.0f} events/s")
    print(f"folded    {checkpoint.folded_digest.hex() or '-'}")
    print(f"stored    {checkpoint.stored_digest.hex() or '-'}")
    print(f"{checkpoint.differences:,} differences" if checkpoint.differences else "No difference")
    return 1 if checkpoint.differences else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.cli.replay_quests", description="Replay quest events")
    parser.add_argument("--player", type=UUID, metavar="ID", help="replay one player only")
    parser.add_argument("--restart", action="store_true", help="ignore the checkpoint of an interrupted replay")
    parser.add_argument("--batch", type=int, default=replaying.BATCH, metavar="EVENTS", help="events per read")
    options = parser.parse_args(arguments)
    configure("replay_quests")
    db.require_database()
    try:
        return replay(options.player, restart=options.restart, batch=max(1, options.batch), stopping=stop_event())
    finally:
        db.close_pool()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
