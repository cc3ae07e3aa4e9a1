"""Send messages to workers through Redis: at once, or from a background thread that never delays a request."""

import threading
import time
from dataclasses import asdict

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from shared.infra.logging import bound_request_id, current_request_id, get_logger
from shared.infra.per_process import per_process
from shared.infra.redis import client, key, make_client
from shared.infra.relay_wakeup import add_wakeup
from shared.messages import Message

log = get_logger()

QUEUED = ""
"""The wakeup that makes a consumer fetch from its queue."""


@per_process
def broker() -> RedisBroker:
    """Return this process's broker. Web only sends with it; `workers/broker.py` has the broker that also consumes."""
    return RedisBroker(
        client=make_client(),
        namespace=key("dramatiq"),
        middleware=[],
        # Out of a million commands. The messages of a killed worker return within seconds instead of minutes.
        maintenance_chance=20_000,
        heartbeat_timeout=15_000,
    )


def wakeup_set(queue: str) -> str:
    """Return the key of a queue's wakeups: the names of its messages without fields that wait, by time."""
    return key("wakeups", queue)


def send(message: Message) -> None:
    """Send the message to an idle worker. Wake the relay too: the commit before often has events.

    A message with fields is put on its queue, and wakes its consumers. Raise redis.RedisError if Redis is unavailable.
    """
    fields = asdict(message)  # type: ignore[call-overload]
    with client().pipeline(transaction=False) as commands:
        if fields:
            broker().enqueue(
                dramatiq.Message(
                    queue_name=message.queue,
                    actor_name=type(message).__name__,
                    args=(),
                    kwargs=fields,
                    options={"request_id": current_request_id()},
                )
            )
        # Of equal wakeups, the first keeps its place.
        commands.zadd(wakeup_set(message.queue), {QUEUED if fields else type(message).__name__: time.time()}, nx=True)
        add_wakeup(commands)
        commands.execute()


class BackgroundSender:
    """Sends messages from its own thread. Those that are submitted while it sends wait for the next round, in which
    equal ones are sent once.

    The request that committed a row never waits for Redis and never fails with it. A message that cannot be sent is
    logged and dropped. The scheduler's poll replaces it.
    """

    def __init__(self) -> None:
        self._waiting: dict[Message, str | None] = {}
        self._lock = threading.Lock()
        self._has_messages = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, message: Message) -> None:
        """Queue the message for the next round and return at once."""
        with self._lock:
            self._waiting.setdefault(message, current_request_id())
            # The thread starts on first use, which is after the fork.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="background-sender", daemon=True)
                self._thread.start()
        self._has_messages.set()

    def flush(self) -> None:
        """Send the waiting messages now, from this thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for message, request_id in waiting.items():
            with bound_request_id(request_id):
                try:
                    send(message)
                except Exception as error:  # noqa: BLE001 - no error may end the thread: later messages are tried again
                    log.warning("message_dropped", message=type(message).__name__, error=repr(error))

    def _run(self) -> None:
        while True:
            self._has_messages.wait()
            self._has_messages.clear()
            self.flush()


background_sender = BackgroundSender()
