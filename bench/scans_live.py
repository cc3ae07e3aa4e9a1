"""Time from the commit of an event to the client's WebSocket, without load.

The rival is the shortest way: a client of PostgreSQL that listens on a channel, and gets a NOTIFY with the commit.
"""

import random
import time

import websocket

from bench.scans_accept import OUR_WEB
from bench.scans_data import Player, clear
from bench.scans_latency import OUR_RELAY, PAUSE_SECONDS
from bench.stack import Stack, running, scaled, serving
from bench.table import Figure
from script.stack.ports import LOOPBACK
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.relay_wakeup import wake_relay

WARM_UP = 5
SAMPLES = 99
MAX_MS = 10.0
"""The goal for the median."""


def measure(where: Stack, players: list[Player], scale: float) -> tuple[list[Figure], bool]:
    """Return the figure, and whether the median is at most MAX_MS."""
    player = players[0]
    with db.connection() as conn:
        # The relay would first publish the events of all earlier scans.
        clear(conn)
    with (
        serving(where.data, "live-web", OUR_WEB) as port,
        running(where.data, "live-relay", *OUR_RELAY),
        db.connection() as conn,
        db.dedicated_connection() as listener,
    ):
        socket = websocket.create_connection(
            f"ws://{LOOPBACK}:{port}/ws/{player.id}", header={"Authorization": f"Bearer {player.token}"}, timeout=30
        )
        listener.execute("LISTEN bench")
        samples = scaled(SAMPLES, scale, 6)
        pairs = [(_deliver(conn, socket, player), _notify(conn, listener)) for _ in range(WARM_UP + samples)][WARM_UP:]
        socket.close()
    third = samples // 3
    rounds = [list(zip(*pairs[n * third :][:third], strict=True)) for n in range(3)]
    figure = Figure.of_latencies(
        "event on the WebSocket after its commit", 50, [ours for ours, _ in rounds], [other for _, other in rounds],
        "≤", None,
    )  # fmt: skip
    return [figure], figure.waymark <= MAX_MS


def _deliver(conn: Conn, socket: websocket.WebSocket, player: Player) -> float:
    """Append an event, and return the seconds from its commit until the socket has it."""
    time.sleep(random.uniform(*PAUSE_SECONDS))
    conn.execute("INSERT INTO events (type, player_id) VALUES ('bench', %(player)s)", {"player": player.id})
    committed_at = time.perf_counter()
    wake_relay()
    socket.recv()
    return time.perf_counter() - committed_at


def _notify(conn: Conn, listener: Conn) -> float:
    """Notify, and return the seconds from the commit until the listener has it."""
    time.sleep(random.uniform(*PAUSE_SECONDS))
    conn.execute("SELECT pg_notify('bench', '')")
    committed_at = time.perf_counter()
    next(listener.notifies(timeout=30, stop_after=1))
    return time.perf_counter() - committed_at
