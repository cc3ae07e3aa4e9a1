"""Every message that crosses a process, on one page, and how one is sent.

A message is a nudge to look at rows: it carries ids at most, may come twice or never, and running it twice is harmless.
PostgreSQL knows what is open; the scheduler nudges again what a lost message left behind.
"""

import threading
import time
from dataclasses import asdict, dataclass
from typing import ClassVar

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from shared.infra.logging import bound_request_id, current_request_id, get_logger
from shared.infra.per_process import per_process
from shared.infra.redis import client, key, make_client

log = get_logger()

MAX_PAUSE_SECONDS = 0.05


class Message:
    """What every message has: the queue it travels on. Its class name is the actor's."""

    queue: ClassVar[str]


@dataclass(frozen=True)
class ScansPending(Message):
    """There are scans without a verdict: judge every one there is."""

    queue = "scans"


@dataclass(frozen=True)
class GeneratedCodesPending(Message):
    """There are generated codes without their picture: draw every one there is."""

    queue = "images"


@dataclass(frozen=True)
class ImportsPending(Message):
    """There are imports that are not over: add the codes of every one there is."""

    queue = "maintenance"


@dataclass(frozen=True)
class RenderChunk(Message):
    """A chunk of a render waits: draw it, or whichever is next. One for each, so that every worker takes its share."""

    render_id: str
    number: int
    queue = "renders"


@dataclass(frozen=True)
class RendersPending(Message):
    """There are renders that are not finished: go on with whatever waits."""

    queue = "renders"


@dataclass(frozen=True)
class RenderFilesUnneeded(Message):
    """A render was canceled, or its file is not wanted any more: remove what it left in the storage."""

    render_id: str
    queue = "maintenance"


@dataclass(frozen=True)
class RollUp(Message):
    """There may be verdicts and visits that are not in the rollups: fold all of them."""

    queue = "analytics"


@dataclass(frozen=True)
class ErasuresPending(Message):
    """There are people to forget of whom something may be left: look through what is theirs again."""

    queue = "maintenance"


@dataclass(frozen=True)
class CleanUp(Message):
    """An hour has passed: forget what has outlived its retention."""

    queue = "maintenance"


@per_process
def broker() -> RedisBroker:
    """This process's broker. Web only sends through it; `workers/broker.py` adds what workers need."""
    return RedisBroker(
        client=make_client(),
        namespace=key("dramatiq"),
        middleware=[],
        # Out of a million commands: a killed worker's messages come back in seconds rather than minutes.
        maintenance_chance=20_000,
        heartbeat_timeout=15_000,
    )


def wakeup_channel(queue: str) -> str:
    """Where a consumer that sleeps between polls listens for news of its queue."""
    return key("wakeups", queue)


def send(message: Message) -> None:
    """Put the message on its queue and wake a sleeping consumer. Raises redis.RedisError when Redis is away."""
    broker().enqueue(
        dramatiq.Message(
            queue_name=message.queue,
            actor_name=type(message).__name__,
            args=(),
            kwargs=asdict(message),  # type: ignore[call-overload]
            options={"request_id": current_request_id()},
        )
    )
    client().publish(wakeup_channel(message.queue), b"")


class BackgroundSender:
    """Sends nudges from a thread of its own: the first at once, those that follow it together in the next round.

    A hundred scans accepted together need one nudge, and sending one costs half of what accepting a scan does.
    The request that committed a row never waits for Redis and never fails with it; a nudge that cannot be sent is
    dropped with a line in the log, and the scheduler's sweep takes its place.
    """

    def __init__(self) -> None:
        self._waiting: dict[Message, str | None] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, message: Message) -> None:
        """Have the message sent shortly; returns at once."""
        with self._lock:
            self._waiting.setdefault(message, current_request_id())
            if self._thread is None:  # made on first use: after the fork
                self._thread = threading.Thread(target=self._run, name="nudger", daemon=True)
                self._thread.start()
        self._news.set()

    def flush(self) -> None:
        """Send what waits, now and here."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for message, origin in waiting.items():
            with bound_request_id(origin):
                try:
                    send(message)
                except Exception as error:  # noqa: BLE001 - whatever it is, the next nudge is tried again
                    log.warning("message_dropped", message=type(message).__name__, error=repr(error))

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            began = time.monotonic()
            self.flush()
            time.sleep(min(10 * (time.monotonic() - began), MAX_PAUSE_SECONDS))  # a busy process sends fewer


background_sender = BackgroundSender()
