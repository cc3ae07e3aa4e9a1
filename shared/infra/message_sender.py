"""Send messages to workers through the broker: at once, or from a background thread that never delays a request."""

import threading
import time
from contextvars import Context, copy_context
from dataclasses import asdict
from typing import Any

import dramatiq

from shared.infra.broker import ERRORS, BrokerUnavailable, broker, broker_client, keep_broker_alive
from shared.infra.cache import try_redis
from shared.infra.logging import current_request_id, get_logger
from shared.infra.metrics import Counter, defer
from shared.infra.redis import key
from shared.infra.relay_wakeup import add_wakeup
from shared.infra.tracing import tracing
from shared.messages import Message
from shared.settings import settings

log = get_logger()

QUEUED = ""
"""The wakeup that makes a consumer fetch from its queue."""
KEEP_ALIVE_SECONDS = 5.0

SENDS = Counter(
    "waymark_message_sends_total",
    "Messages sent to workers, by outcome: sent or dropped. A poll finds the work of a dropped one.",
    ("message", "outcome"),
)


def wakeup_set(queue: str) -> str:
    """Return the key of a queue's wakeups: the names of its messages without fields that wait, by time."""
    return key("wakeups", queue)


def send(message: Message) -> None:
    """Send the message to an idle worker. Wake the relay too: the commit before often has events.

    Raise BrokerUnavailable if that failed.
    """
    if not settings().broker_is_redis_url:
        # First, because a broker that hangs delays its message. While Redis is unavailable, this returns soon.
        try_redis(add_wakeup)
    try:
        if settings().uses_rabbitmq:
            broker().enqueue(_queued(message))
        else:
            _send_through_redis(message)
    except ERRORS as error:
        raise BrokerUnavailable(str(error) or type(error).__name__) from error


def _send_through_redis(message: Message) -> None:
    """Add a wakeup, which is the message if it has no fields. A message with fields is on its queue before."""
    has_fields = bool(_fields(message))
    with broker_client().pipeline(transaction=False) as commands:
        if has_fields:
            broker().enqueue(_queued(message))
        # Of equal wakeups, the first keeps its place.
        wakeup = QUEUED if has_fields else type(message).__name__
        commands.zadd(wakeup_set(message.queue), {wakeup: time.time()}, nx=True)
        if settings().broker_is_redis_url:
            add_wakeup(commands)
        commands.execute()


def _queued(message: Message) -> dramatiq.Message[None]:
    options = {"request_id": current_request_id()}
    if (traceparent := tracing.current_traceparent()) is not None:
        options["traceparent"] = traceparent
    return dramatiq.Message(message.queue, type(message).__name__, (), _fields(message), options)


def _fields(message: Message) -> dict[str, Any]:
    return asdict(message)  # type: ignore[call-overload, no-any-return]


class BackgroundSender:
    """Sends messages from its own thread. Those that are submitted while it sends wait for the next round, in which
    equal ones are sent once.

    The request that committed a row never waits for the broker and never fails with it. A message that cannot be sent
    is logged and dropped. The scheduler's poll replaces it.

    Every process sends its messages from this thread. RabbitMQ expects heartbeats on each connection, and this is the
    only one that a process opens to send.
    """

    def __init__(self) -> None:
        self._waiting: dict[Message, Context] = {}
        self._lock = threading.Lock()
        self._has_messages = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, message: Message) -> None:
        """Queue the message for the next round and return at once."""
        with self._lock:
            # The request's id and trace are in its context.
            self._waiting.setdefault(message, copy_context())
            # The thread starts on first use, which is after the fork.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="background-sender", daemon=True)
                self._thread.start()
        self._has_messages.set()

    def flush(self) -> None:
        """Send the waiting messages now, from this thread. Drop all of them once the broker is unavailable."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        error: Exception | None = None
        for message, context in waiting.items():
            error = context.run(_send_or_drop, message, error if isinstance(error, BrokerUnavailable) else None)

    def _run(self) -> None:
        while True:
            if self._has_messages.wait(KEEP_ALIVE_SECONDS):
                self._has_messages.clear()
                self.flush()
            else:
                keep_broker_alive()


def _send_or_drop(message: Message, unavailable: BrokerUnavailable | None) -> Exception | None:
    """Send the message, unless the broker is unavailable. Return the error for which it was dropped."""
    error: Exception | None = unavailable
    if error is None:
        try:
            send(message)
        except Exception as raised:  # noqa: BLE001 - no error may end the thread: later messages are sent
            error = raised
    defer(SENDS, (type(message).__name__, "sent" if error is None else "dropped"), 1)
    if error is not None:
        log.warning("message_dropped", message=type(message).__name__, error=repr(error))
    return error


background_sender = BackgroundSender()
