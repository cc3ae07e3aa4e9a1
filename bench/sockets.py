"""WebSockets: one event to 2,000 sockets of one web process, and their memory. `python -m bench sockets`.

The rival is a process that sends the same bytes to as many connections, in a plain loop. One client reads both sides.
"""

import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil

from bench.scans_accept import OUR_WEB
from bench.scans_data import PLAYERS, Player, scan_requests, seed, sign_in
from bench.scans_load import Connection
from bench.stack import Stack, running, scaled, serving, stack
from bench.table import Figure, Round, Table
from script.stack.ports import LOOPBACK, free_port
from shared.infra.pubsub_messages import EVENTS_CHANNEL
from shared.infra.redis import client, key, listen

SOCKETS, ROUNDS, WARM_UP, AT_ONCE = 2_000, 9, 50, 50
LIMITS = {"MAX_WEBSOCKETS": "2500", "MAX_WEBSOCKETS_PER_CLIENT": "2500", "MAX_WEBSOCKETS_PER_ADDRESS": "2500"}
MAX_BYTES_PER_SOCKET = 60 * 1024
READY_SECONDS = 30.0
PING, PONG = bytes((0x89, 0)), bytes((0x8A, 0x80, 0, 0, 0, 0))
"""Frames of RFC 6455, 5.2. That of the client has a mask."""


class Audience:
    """The clients of one side. Each receives every message."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._size = 0
        self.message = b""

    def add(self, client: socket.socket) -> None:
        client.setblocking(False)
        self._selector.register(client, selectors.EVENT_READ, client)
        self._size += 1

    def time(self, send: Callable[[], object]) -> float:
        """Send a message. Return the seconds until the last client has it."""
        start = time.perf_counter()
        send()
        missing = self._size
        while missing > 0:
            missing -= self.read(timeout=1.0)
            if time.perf_counter() > start + READY_SECONDS:
                raise SystemExit(f"{missing} of {self._size} sockets had no message after {READY_SECONDS:.0f} s")
        return time.perf_counter() - start

    def read(self, timeout: float = 0) -> int:
        """Answer pings. Return the number of messages."""
        messages = 0
        for ready, _ in self._selector.select(timeout):
            received = ready.data.recv(65_536)
            if not received:
                raise ConnectionError("the server closed a socket")
            if PING in received:
                ready.data.sendall(PONG)
                received = received.replace(PING, b"")
            if received:
                messages += 1
                self.message = received
        return messages


def main(scale: float = 1.0) -> list[Table]:
    """Run the benchmark and return the table."""
    count = AT_ONCE * scaled(SOCKETS // AT_ONCE, scale)
    allow_files(2 * count + 500)
    with stack(seed) as where, serving(where.data, "web", OUR_WEB, **LIMITS) as port:
        player = sign_in()[0]
        with opened(port, player, WARM_UP):
            event = published_event(where, port, player)
        before = web_memory(port)
        with opened(port, player, count) as ours, rival(where.data, count) as (theirs, trigger):
            memory = (web_memory(port) - before) / count
            rounds: list[Round] = []
            for number in range(1 + scaled(ROUNDS, scale, 3)):
                waymark = ours.time(partial(client().publish, key(EVENTS_CHANNEL), at_later_position(event, number)))
                message = len(ours.message).to_bytes(4, "big") + ours.message
                rounds.append((waymark, theirs.time(partial(trigger.sendall, message))))
    print(f"\n{count} sockets of one process: {memory / 1024:.1f} KB each (goal: ≤ {MAX_BYTES_PER_SOCKET // 1024})")
    milliseconds = [(1_000 * waymark, 1_000 * plain) for waymark, plain in rounds[1:]]
    figure = Figure.of_rounds(f"one event to {count} sockets, until the last has it", "ms", milliseconds, "≤", 3.0)
    return [Table("WebSockets", [figure], other_goals_met=memory <= MAX_BYTES_PER_SOCKET)]


def published_event(where: Stack, port: int, player: Player) -> bytes:
    """Return what the relay publishes for a scan of the player."""
    with running(where.data, "relay", "python", "-m", "workers.relay"):
        messages = listen(channels=[key(EVENTS_CHANNEL)])
        next(messages)
        submitting = Connection(port)
        submitting.send(next(scan_requests([player] * PLAYERS, "/scan")), 0)
        event: bytes = next(messages)["data"]
        submitting.close()
    return event


def at_later_position(event: bytes, number: int) -> bytes:
    """Return a published event at a later position of the log. Sockets skip positions that they have sent."""
    position, rest = event.split(b" ", 1)
    return b"%d %s" % (int(position) + 1_000_000 + number, rest)


def allow_files(count: int) -> None:
    """Allow this process and its children `count` open files. Exit if the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise SystemExit(
                f"sockets needs {count:,} open files, and the limit is {hard:,}. Raise it, or use --scale."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def web_memory(port: int) -> int:
    """Return the resident memory of the web process, in bytes. Its parent listens on the port, too."""
    return sum(
        process.memory_info().rss
        for process in psutil.Process().children(recursive=True)
        if process.parent() != psutil.Process()
        and any(
            each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp")
        )
    )


@contextmanager
def opened(port: int, player: Player, count: int) -> Iterator[Audience]:
    """Open this many sockets of the player."""
    request = (
        f"GET /ws/{player.id} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {player.token}\r\n\r\n"
    ).encode()
    with ExitStack() as exits:
        audience = Audience()
        # Clients that connect at once would exceed the time to wait for a connection of PostgreSQL.
        for _ in range(count // AT_ONCE):
            batch = [exits.enter_context(connect(port)) for _ in range(AT_ONCE)]
            for client in batch:
                client.sendall(request)
            for client in batch:
                upgrade(client)
                audience.add(client)
            audience.read()
        yield audience


@contextmanager
def rival(data: Path, count: int) -> Iterator[tuple[Audience, socket.socket]]:
    """Start the rival. Give its clients, and the connection over which it receives the message to send."""
    port = free_port()
    with ExitStack() as exits:
        exits.enter_context(running(data, "rival", "python", "-m", "bench.sockets_rival", str(port), str(count)))
        trigger, *receivers = (exits.enter_context(connect(port)) for _ in range(1 + count))
        audience = Audience()
        for receiver in receivers:
            audience.add(receiver)
        yield audience, trigger


def upgrade(client: socket.socket) -> None:
    """Read the response to a handshake. Exit if it is not an upgrade."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise SystemExit(f"the upgrade was answered with {head.decode()}")


def connect(port: int) -> socket.socket:
    """Connect to a process that may still be starting."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            return socket.create_connection((LOOPBACK, port), timeout=READY_SECONDS)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
