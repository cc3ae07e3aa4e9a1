"""Time from `POST /scan` to the verdict in the client's hands, and the CPU time of all processes behind it.

Waymark is called with `Prefer: wait=10`. The rivals' route sends its message and waits as Dramatiq documents it, by
`get_result(block=True)` on the Redis result backend. Each side has one web and one worker process, Waymark its relay
too. The tuned rival differs from stock Dramatiq in `dramatiq_worker_timeout`: by default, a consumer that finds no
message sleeps for up to a second.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import psutil

from bench.cpu_time import cpu_seconds
from bench.scans_accept import OUR_WEB, RIVAL_WEB
from bench.scans_data import Player, clear, scan_requests
from bench.scans_load import Connection, Requests, ask, pace
from bench.scans_settle import OUR_WORKER, RIVAL_WORKER
from bench.stack import Stack, running, scaled, serving
from bench.table import Figure
from shared.infra import db
from shared.infra.db import Conn

WARM_UP = 5
SAMPLES, STOCK_SAMPLES = 99, 30
PAUSE_SECONDS = (0.1, 0.4)  # before each sample, of either side in turn: each is left alone for 0.2 to 0.8 s
SECONDS, ROUNDS = 4.0, 3
WARM_UP_SECONDS = 3.0
GOALS = {200: 0.6, 100: 0.6, 300: 0.1}
"""The goals by scans per second. The first is the rate of the CPU figure."""
OUR_RELAY = ("python", "-m", "workers.relay")
TUNED = {"dramatiq_worker_timeout": "50"}  # milliseconds

Rounds = list[list[float]]
"""The seconds of each request, round by round."""


@dataclass(frozen=True)
class Side:
    """A web process's port, what it is sent, and all processes of this side but the stores."""

    port: int
    requests: Requests
    processes: Sequence[psutil.Process]


def measure(where: Stack, players: list[Player], scale: float) -> list[Figure]:
    """Send requests to Waymark and a rival in turn, first to the tuned one. The CPU time is the first figure."""
    stores = psutil.Process().children()
    with db.connection() as conn, where.rival() as rival:
        clear(conn)
        clear(rival)
    drained = partial(_wait_until_settled, where)
    figures: list[Figure] = []
    with ExitStack() as exits:
        sides = (exits.enter_context(_waymark(where, players)), exits.enter_context(_rival(where, players, **TUNED)))
        for rate, goal in GOALS.items():
            latencies, cpu = _loaded(sides, stores, rate, drained, scale)
            if not figures:
                figures.append(Figure.of_rounds(f"CPU time of all processes per scan, {rate}/s", "ms", cpu, "≤", 0.8))
            figures += _figures(f"verdict, {rate}/s", (50, 99), latencies, goal)
        figures += _figures("verdict, one at a time", (50,), _quiet(sides, scaled(SAMPLES, scale, 6)), 0.3)
    # Not beside the tuned rival: both would poll Redis.
    with ExitStack() as exits:
        sides = (exits.enter_context(_waymark(where, players)), exits.enter_context(_rival(where, players)))
        latencies = _quiet(sides, scaled(STOCK_SAMPLES, scale, 6))
        return figures + _figures("verdict, one at a time, stock Dramatiq", (50,), latencies, None)


@contextmanager
def _waymark(where: Stack, players: list[Player]) -> Iterator[Side]:
    before = psutil.Process().children()
    with (
        serving(where.data, "web", OUR_WEB) as port,
        running(where.data, "worker", *OUR_WORKER),
        running(where.data, "relay", *OUR_RELAY),
    ):
        requests = scan_requests(players, "/scan", "Prefer: wait=10")
        yield Side(port, requests, [process for process in psutil.Process().children() if process not in before])


@contextmanager
def _rival(where: Stack, players: list[Player], **environment: str) -> Iterator[Side]:
    before = psutil.Process().children()
    environment |= {"DATABASE_URL": where.rival_url}
    with (
        serving(where.data, "rival-web", RIVAL_WEB, **environment) as port,
        running(where.data, "rival-worker", *RIVAL_WORKER, **environment),
    ):
        requests = scan_requests(players, "/scan-and-wait")
        yield Side(port, requests, [process for process in psutil.Process().children() if process not in before])


def _quiet(sides: Sequence[Side], samples: int) -> list[Rounds]:
    """Send one request at a time. A third of the samples is a round. Return the latencies by side."""
    connections = [Connection(side.port) for side in sides]
    seconds: Rounds = [[] for _ in sides]
    for _ in range(WARM_UP + samples):
        for side, connection, latencies in zip(sides, connections, seconds, strict=True):
            time.sleep(random.uniform(*PAUSE_SECONDS))
            latencies.append(ask(connection, next(side.requests)))
    for connection in connections:
        connection.close()
    third = samples // 3
    return [[all_[WARM_UP + n * third :][:third] for n in range(3)] for all_ in seconds]


def _loaded(
    sides: Sequence[Side], stores: Sequence[psutil.Process], rate: int, drained: Callable[[], None], scale: float
) -> tuple[list[Rounds], list[tuple[float, float]]]:
    """Send requests at a fixed rate, whether or not earlier ones were answered. A first round of each side warms up.

    Return the latencies by side, and the milliseconds of CPU time per request of both sides by round. No round starts
    while a worker still has a backlog, which would slow down the other side.
    """
    latencies: list[Rounds] = [[] for _ in sides]
    cpu = []
    for side in sides:
        pace(side.port, side.requests, rate=rate, seconds=WARM_UP_SECONDS * scale)
        drained()
    for _ in range(ROUNDS):
        spent = []
        for side, rounds in zip(sides, latencies, strict=True):
            start = cpu_seconds([*stores, *side.processes])
            rounds.append(pace(side.port, side.requests, rate=rate, seconds=SECONDS * scale))
            drained()
            spent.append(1_000 * (cpu_seconds([*stores, *side.processes]) - start) / len(rounds[-1]))
        waymark, rival = spent
        cpu.append((waymark, rival))
    return latencies, cpu


def _wait_until_settled(where: Stack) -> None:
    """Until neither side's worker settles anything more. The rival may have lost messages: their scans stay pending."""
    left = None
    with db.connection() as conn, where.rival() as rival:
        while left != (left := [_pending(side) for side in (conn, rival)]):
            time.sleep(1)


def _pending(conn: Conn) -> int:
    return conn.execute("SELECT FROM player_scans WHERE status = 'pending'").rowcount


def _figures(name: str, percents: Sequence[int], latencies: list[Rounds], goal: float | None) -> list[Figure]:
    waymark, rival = latencies
    return [Figure.of_latencies(name, percent, waymark, rival, "≤", goal) for percent in percents]
