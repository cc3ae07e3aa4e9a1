"""A million events replayed. The rival reads and folds one player's quest after the other, a query each.

What is replayed has to be equal, by hash, to what is stored, in memory that does not grow.
"""

import time
from itertools import pairwise
from statistics import median
from uuid import UUID

import psutil

from bench.quests_histories import fill
from bench.stack import scaled
from bench.table import Figure
from shared.infra import db
from shared.infra.db import Conn
from shared.quests import replay, store
from shared.quests.replay import ReplayCheckpoint
from shared.quests.rules import fold

PLAYERS, EACH, RIVAL_PLAYERS = 10_000, 50, 900
ROUNDS = 3
MAX_GROWTH_BYTES = 64 * 2**20

Marks = list[tuple[int, float]]
"""Events replayed until a time, in seconds of the performance counter."""


def measure(scale: float) -> list[Figure]:
    """Replay all players with Waymark, and some of them with the rival. A third of each is a round."""
    with db.connection() as conn:
        conn.execute("TRUNCATE quest_states, quest_events")
        events = fill(conn, scaled(PLAYERS, scale, ROUNDS), EACH)
        conn.execute("VACUUM ANALYZE quest_events")
    waymark, rival = _waymark(events), _rival(scaled(RIVAL_PLAYERS, scale, ROUNDS))
    return [
        Figure(
            "events replayed",
            "events/s",
            _rate(waymark),
            _rate(rival),
            "≥",
            1,
            tuple((_rate(one), _rate(other)) for one, other in zip(_thirds(waymark), _thirds(rival), strict=False)),
        )
    ]


def _rate(marks: Marks) -> float:
    """Return the events per second from the first mark to the last."""
    return (marks[-1][0] - marks[0][0]) / (marks[-1][1] - marks[0][1])


def _thirds(marks: Marks) -> list[Marks]:
    """Return as many parts as there are rounds, or none if the replay is too short."""
    if len(marks) <= ROUNDS:
        return []
    cuts = [round(n * (len(marks) - 1) / ROUNDS) for n in range(ROUNDS + 1)]
    return [marks[start : end + 1] for start, end in pairwise(cuts)]


def _waymark(events: int) -> Marks:
    checkpoint, sizes = ReplayCheckpoint(), []
    marks = [(0, time.perf_counter())]
    for done in replay.replay(checkpoint):
        checkpoint = done.checkpoint
        marks.append((checkpoint.events, time.perf_counter()))
        sizes.append(psutil.Process().memory_info().rss)
    if checkpoint.events != events or checkpoint.differences or checkpoint.folded_digest != checkpoint.stored_digest:
        raise RuntimeError(f"{checkpoint.differences} differences after {checkpoint.events} of {events} events")
    if (grown := max(sizes) - median(sizes[:5])) > MAX_GROWTH_BYTES:
        raise RuntimeError(f"memory grew by {grown / 2**20:.0f} MiB")
    digest = checkpoint.folded_digest.hex()
    print(f"{events:,} events, {checkpoint.states:,} states, hash {digest}, memory + {grown / 2**20:.1f} MiB")
    return marks


def _rival(players: int) -> Marks:
    with db.connection() as conn:
        keys = conn.execute("SELECT player_id, quest FROM quest_states ORDER BY 1, 2 LIMIT %s", (2 * players,))
        found = keys.fetchall()
        marks = [(0, time.perf_counter())]
        for player_id, quest in found:
            marks.append((marks[-1][0] + _replay_one(conn, player_id, quest), time.perf_counter()))
        return marks


def _replay_one(conn: Conn, player_id: UUID, quest: str) -> int:
    log = store.load_events(conn, [(player_id, quest)])[player_id, quest]
    if fold(log) != store.load_states(conn, player_id)[quest]:
        raise RuntimeError(f"{player_id}, {quest} differs")
    return len(log)
