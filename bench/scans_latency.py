"""Time from `POST /scan` to the verdict in the client's hands, through every process: quiet, and at 200 a second.

Waymark is called with `Prefer: wait=10`. The rival's route sends its message and waits as Dramatiq documents it, by
`get_result(block=True)` on the Redis result backend. Each side has one web and one worker process.
"""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench.scans_accept import OUR_WEB, RIVAL_WEB
from bench.scans_data import Player, clear, scan_requests
from bench.scans_load import Connection, Requests, ask, pace
from bench.scans_settle import OUR_WORKER, RIVAL_WORKER
from bench.stack import Stack, running, scaled, serving
from bench.table import Figure
from shared.infra import db
from shared.infra.db import Conn

WARM_UP = 5
SAMPLES = 99
PAUSE_SECONDS = (0.1, 0.5)  # before each sample, of either side in turn: each is left alone for 0.2 to over 1 s
RATE, SECONDS, ROUNDS = 200, 5.0, 3
WARM_UP_SECONDS = 4.0

Sides = dict[str, tuple[int, Requests]]
"""By name: a web process's port, and what it is sent."""

Latencies = dict[str, list[list[float]]]
"""By name: the seconds of each request, round by round."""


def measure(where: Stack, players: list[Player], scale: float) -> list[Figure]:
    """Start both sides, and send requests to each in turn."""
    with db.connection() as conn, where.rival() as rival:
        clear(conn)
        clear(rival)
    theirs = {"DATABASE_URL": where.rival_url}
    with ExitStack() as exits:
        our_port = exits.enter_context(serving(where.data, "web", OUR_WEB))
        rival_port = exits.enter_context(serving(where.data, "rival-web", RIVAL_WEB, **theirs))
        exits.enter_context(running(where.data, "worker", *OUR_WORKER))
        exits.enter_context(running(where.data, "rival-worker", *RIVAL_WORKER, **theirs))
        sides = {
            "waymark": (our_port, scan_requests(players, "/scan", "Prefer: wait=10")),
            "rival": (rival_port, scan_requests(players, "/scan-and-wait")),
        }
        drained = partial(_wait_until_settled, where)
        quiet, loaded = _quiet(sides, scaled(SAMPLES, scale, 6)), _loaded(sides, drained, scale)
        return _figures("quiet", quiet) + _figures(f"at {RATE}/s", loaded)


def _quiet(sides: Sides, samples: int) -> Latencies:
    """Send one request at a time. A third of the samples is a round."""
    connections = {name: Connection(port) for name, (port, _) in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(WARM_UP + samples):
        for name, (_, requests) in sides.items():
            time.sleep(random.uniform(*PAUSE_SECONDS))
            seconds[name].append(ask(connections[name], next(requests)))
    for connection in connections.values():
        connection.close()
    third = samples // 3
    starts = [WARM_UP + n * third for n in range(3)]
    return {name: [all_[start : start + third] for start in starts] for name, all_ in seconds.items()}


def _loaded(sides: Sides, drained: Callable[[], None], scale: float) -> Latencies:
    """Send requests at a fixed rate, whether or not earlier ones were answered. A first round of each side warms up.

    No round starts while a worker still has a backlog, which would slow down the other side.
    """
    rounds: Latencies = {name: [] for name in sides}
    for round_ in range(1 + ROUNDS):
        for name, (port, requests) in sides.items():
            seconds = (SECONDS if round_ else WARM_UP_SECONDS) * scale
            rounds[name].append(pace(port, requests, rate=RATE, seconds=seconds))
            drained()
    return {name: each[1:] for name, each in rounds.items()}


def _wait_until_settled(where: Stack) -> None:
    """Until neither side's worker settles anything more. The rival may have lost messages: their scans stay pending."""
    left = None
    with db.connection() as conn, where.rival() as rival:
        while left != (left := [_pending(side) for side in (conn, rival)]):
            time.sleep(1)


def _pending(conn: Conn) -> int:
    return conn.execute("SELECT FROM player_scans WHERE status = 'pending'").rowcount


def _figures(name: str, latencies: Latencies) -> list[Figure]:
    return [
        Figure.of_latencies(f"verdict seen, {name}", percent, latencies["waymark"], latencies["rival"], "≤", 0.1)
        for percent in (50, 99)
    ]
