"""A million events replayed. The rival reads and folds one player's quest after the other, a query each.

What is replayed has to be equal, by hash, to what is stored, in memory that does not grow.
"""

import time
from statistics import median

import psutil

from bench.quests_histories import fill
from bench.table import Figure
from shared.infra import db
from shared.quests import replay, store
from shared.quests.replay import ReplayCheckpoint
from shared.quests.rules import fold

PLAYERS, EACH, RIVAL_PLAYERS = 10_000, 50, 1_000
MAX_GROWTH_BYTES = 64 * 2**20


def measure() -> list[Figure]:
    """Replay all players with Waymark, and a tenth of them with the rival."""
    with db.connection() as conn:
        conn.execute("TRUNCATE quest_states, quest_events")
        events = fill(conn, PLAYERS, EACH)
        conn.execute("VACUUM ANALYZE quest_events")
    return [Figure("events replayed", "events/s", _ours(events), _rivals(), "≥", 1)]


def _ours(events: int) -> float:
    checkpoint, sizes = ReplayCheckpoint(), []
    began = time.perf_counter()
    for done in replay.replay(checkpoint):
        checkpoint = done.checkpoint
        sizes.append(psutil.Process().memory_info().rss)
    seconds = time.perf_counter() - began
    if checkpoint.events != events or checkpoint.differences or checkpoint.folded_digest != checkpoint.stored_digest:
        raise RuntimeError(f"{checkpoint.differences} differences after {checkpoint.events} of {events} events")
    if (grown := max(sizes) - median(sizes[:5])) > MAX_GROWTH_BYTES:
        raise RuntimeError(f"memory grew by {grown / 2**20:.0f} MiB")
    digest, states = checkpoint.folded_digest.hex(), checkpoint.states
    print(f"{events:,} events, {states:,} states, hash {digest}, memory + {grown / 2**20:.1f} MiB")
    return events / seconds


def _rivals() -> float:
    with db.connection() as conn:
        keys = conn.execute("SELECT player_id, quest FROM quest_states ORDER BY 1, 2 LIMIT %s", (2 * RIVAL_PLAYERS,))
        found = keys.fetchall()
        began, events = time.perf_counter(), 0
        for player_id, quest in found:
            log = store.load_events(conn, [(player_id, quest)])[player_id, quest]
            if fold(log) != store.load_states(conn, player_id)[quest]:
                raise RuntimeError(f"{player_id}, {quest} differs")
            events += len(log)
        return events / (time.perf_counter() - began)
