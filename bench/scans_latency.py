"""Time from `POST /scan` to the verdict in the client's hands, through every process: quiet, and at 200 a second.

Waymark is called with `Prefer: wait=10`. The rival's route sends its message and waits as Dramatiq documents it, by
`get_result(block=True)` on the Redis result backend. Each side has one web and one worker process.
"""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from statistics import quantiles

from bench.scans_accept import OUR_WEB, RIVAL_WEB
from bench.scans_data import Player, clear, scan_requests
from bench.scans_load import Connection, Requests, ask, pace
from bench.scans_settle import OUR_WORKER, RIVAL_WORKER
from bench.stack import Stack, running, serving
from bench.table import Figure
from shared.infra import db
from shared.infra.db import Conn

WARM_UP = 10
SAMPLES = 200
PAUSE_SECONDS = (0.1, 0.5)  # before each sample, of either side in turn: each is left alone for 0.2 to over 1 s
RATE, SECONDS, ROUNDS = 200, 8.0, 2
WARM_UP_SECONDS = 4.0

Sides = dict[str, tuple[int, Requests]]
"""By name: a web process's port, and what it is sent."""


def measure(where: Stack, players: list[Player]) -> list[Figure]:
    """Both sides up, and asked in turn."""
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
            "ours": (our_port, scan_requests(players, "/scan", "Prefer: wait=10")),
            "rival": (rival_port, scan_requests(players, "/scan-and-wait")),
        }
        drained = partial(_wait_until_settled, where)
        return _figures("quiet", _quiet(sides)) + _figures(f"at {RATE}/s", _loaded(sides, drained))


def _quiet(sides: Sides) -> dict[str, list[float]]:
    """One request at a time, and nothing else going on."""
    connections = {name: Connection(port) for name, (port, _) in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(WARM_UP + SAMPLES):
        for name, (_, requests) in sides.items():
            time.sleep(random.uniform(*PAUSE_SECONDS))
            seconds[name].append(ask(connections[name], next(requests)))
    for connection in connections.values():
        connection.close()
    return {name: samples[WARM_UP:] for name, samples in seconds.items()}


def _loaded(sides: Sides, drained: Callable[[], None]) -> dict[str, list[float]]:
    """Send requests at a fixed rate, whether or not earlier ones were answered. A first round of each side warms up.

    No round starts while a worker still has a backlog, which would slow down the other side.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(1 + ROUNDS):
        for name, (port, requests) in sides.items():
            latencies = pace(port, requests, rate=RATE, seconds=SECONDS if round_ else WARM_UP_SECONDS)
            seconds[name] += latencies if round_ else []
            drained()
    return seconds


def _wait_until_settled(where: Stack) -> None:
    """Until neither side's worker settles anything more. The rival may have lost messages: their scans stay pending."""
    left = None
    with db.connection() as conn, where.rival() as rival:
        while left != (left := [_pending(side) for side in (conn, rival)]):
            time.sleep(1)


def _pending(conn: Conn) -> int:
    return conn.execute("SELECT FROM player_scans WHERE status = 'pending'").rowcount


def _figures(name: str, seconds: dict[str, list[float]]) -> list[Figure]:
    ours, rival = (quantiles([1_000 * sample for sample in seconds[side]], n=100) for side in ("ours", "rival"))
    return [
        Figure(f"verdict seen, {name}, p{percent}", "ms", ours[percent - 1], rival[percent - 1], "≤", 0.1)
        for percent in (50, 99)
    ]
