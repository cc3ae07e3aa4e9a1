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
    with db.dedicated_connection() as conn:  # its own, which is held all the while
        if not exactly_one(conn.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)))[0]:
            print("Another replay of all players is under way")
            return 1
        return _replay(player_id, restart=restart, batch=batch, stopping=stopping)


def _replay(player_id: UUID | None, *, restart: bool, batch: int, stopping: threading.Event) -> int:
    mark = ReplayCheckpoint()
    if player_id is None:
        with db.connection() as conn:
            if restart:
                replaying.drop_mark(conn, ALL_PLAYERS)
            mark = replaying.read_mark(conn, ALL_PLAYERS) or mark
    if mark.events:
        print(f"Going on after {mark.events:,} events")
    before, began = mark.events, time.perf_counter()
    for done in replaying.replay(mark, player_id=player_id, batch=batch):
        mark = done.mark
        for difference in done.differences:
            print(difference)
        if player_id is None:
            with db.connection() as conn:
                replaying.write_mark(conn, ALL_PLAYERS, mark)
        if stopping.is_set():
            print(f"Stopped after {mark.events:,} events; the next replay goes on from here")
            return 130
    if player_id is None:
        with db.connection() as conn:
            replaying.drop_mark(conn, ALL_PLAYERS)
    return report(mark, mark.events - before, time.perf_counter() - began)


def report(mark: ReplayCheckpoint, events: int, seconds: float) -> int:
    """What a replay found; 1 if anything differs."""
    print(f"{mark.events:,} events folded into {mark.states:,} states, {events / seconds:,.0f} events/s")
    print(f"by events {mark.folded_digest.hex() or '-'}")
    print(f"stored    {mark.stored_digest.hex() or '-'}")
    print(f"{mark.differences:,} differences" if mark.differences else "No difference")
    return 1 if mark.differences else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.cli.replay_quests", description="Replay quest events")
    parser.add_argument("--player", type=UUID, metavar="ID", help="replay one player only")
    parser.add_argument("--restart", action="store_true", help="ignore the checkpoint of an interrupted replay")
    parser.add_argument("--batch", type=int, default=replaying.BATCH, metavar="EVENTS", help="events per read")
    options = parser.parse_args(arguments)
    configure("replay_quests")
    try:
        return replay(options.player, restart=options.restart, batch=max(1, options.batch), stopping=stop_event())
    finally:
        db.close_pool()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
