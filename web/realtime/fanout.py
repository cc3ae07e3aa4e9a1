"""One Redis subscriber per process, which delivers messages to this process's WebSockets and waiting requests.

Redis pub/sub loses messages while a subscriber is disconnected. After every (re)connection each socket therefore reads
what it missed from the event log, and each waiting request reads its scan again.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

import redis
from flask import Flask, current_app

from shared.infra.event_log import SKIPPED_POSITIONS
from shared.infra.logging import get_logger
from shared.infra.metrics import Gauge
from shared.infra.pubsub_messages import (
    ACCESS_CHANGES_CHANNEL,
    EVENTS_CHANNEL,
    VERDICTS_CHANNEL,
    PublishedEvent,
    decode,
    to_json,
)
from shared.infra.redis import key, listen
from shared.scans import verdict_messages
from web.realtime.verdict_waiters import VerdictWaiters, Waiter

log = get_logger()

EXTENSION = "waymark_fanout"
RESET = to_json({"event": "reset"})
QUEUE_LENGTH = 1_000
RECONNECT_SECONDS = 0.5
OPEN = Gauge(
    "waymark_websockets_open", "Open WebSockets, by stream: player or org.", ("stream",), multiprocess_mode="livesum"
)
CHANNELS = (EVENTS_CHANNEL, VERDICTS_CHANNEL, ACCESS_CHANGES_CHANNEL)


class Subscription:
    """The queue and the log position of one WebSocket. The subscriber fills it, the socket's request empties it."""

    def __init__(self, stream: str, owner: UUID, listener: UUID) -> None:
        self.stream = stream
        """"player" or "org"."""
        self.owner = owner
        self.listener = listener
        """The player at the other end: the owner, or a member of the organization's staff."""
        self.needs_recheck = True
        """True if the listener may have lost access. Initially true: access can be revoked during the upgrade."""
        self.position = 0
        """Events up to here were sent, or precede the subscription."""
        self.must_replay = False
        """True if the log has events that did not arrive through Redis."""
        self.is_replaying = False
        self.has_overflowed = False
        self.has_events = threading.Event()
        self.disconnect: Callable[[], None] | None = None
        """Closes the connection at once, also while a send waits for a client that reads nothing."""
        self._queue: deque[PublishedEvent] = deque()

    def push(self, event: PublishedEvent) -> None:
        """Queue one event. If the queue is full, a slow socket overflows, and a replaying one reads on from the log."""
        if len(self._queue) < QUEUE_LENGTH:
            self._queue.append(event)
        elif self.is_replaying or self.must_replay:
            self._queue.clear()
            self.must_replay = True
        else:
            self.has_overflowed = True
        self.has_events.set()

    def pop(self) -> str | None:
        """Return the next message, or None. Skips events that were already sent or precede the subscription."""
        while self._queue:
            if self.crosses_gap(self._queue[0].position):
                self.position = self._queue[0].position - 1
                return RESET
            event = self._queue.popleft()
            if self.accepts(event.position):
                return event.text
        return None

    def crosses_gap(self, position: int) -> bool:
        """Return whether another server assigned this position, so that events that were sent may be lost."""
        return position - self.position >= SKIPPED_POSITIONS

    def accepts(self, position: int) -> bool:
        """Return whether this event is still to be sent. If it is, it counts as sent from now on."""
        if position <= self.position:
            return False
        self.position = position
        return True

    def attach(self, event: threading.Event, disconnect: Callable[[], None]) -> None:
        """Signal the socket's own event from now on. One wait then covers new events, client messages and closing."""
        self.has_events, self.disconnect = event, disconnect
        event.set()


class Fanout:
    """This process's subscriber, its subscriptions and its waiting requests."""

    def __init__(self, waiters: VerdictWaiters) -> None:
        self.waiters = waiters
        self.is_accepting = True
        """False once the process is about to stop, while it still serves every request."""
        self._closing = threading.Event()
        self._subscriptions: dict[tuple[str, str], list[Subscription]] = defaultdict(list)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_closing(self) -> bool:
        """True once the process is stopping."""
        return self._closing.is_set()

    def start(self) -> None:
        """Start the subscriber, unless it runs. Called on first use: after the fork, and only if it is needed."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="fanout", daemon=True)
                    self._thread.start()

    @contextmanager
    def wait_for_verdict(self, scan_id: UUID, seconds: float) -> Iterator[Waiter | None]:
        """Register a waiter for a scan's verdict. See `VerdictWaiters.register`."""
        if seconds > 0:
            self.start()
        with self.waiters.register(scan_id, seconds) as waiter:
            yield waiter

    def add(self, subscription: Subscription) -> None:
        self.start()
        OPEN.labels(subscription.stream).inc()
        with self._lock:
            self._subscriptions[subscription.stream, str(subscription.owner)].append(subscription)

    def remove(self, subscription: Subscription) -> None:
        OPEN.labels(subscription.stream).dec()
        with self._lock:
            name = (subscription.stream, str(subscription.owner))
            self._subscriptions[name].remove(subscription)
            if not self._subscriptions[name]:
                del self._subscriptions[name]

    def close(self) -> None:
        """Make every socket and every waiting request finish, because the process is stopping."""
        self.is_accepting = False
        self._closing.set()
        self.waiters.close()
        for subscription in self.list_all():
            subscription.has_events.set()

    def disconnect_all(self) -> None:
        """Close the connections of the sockets that are left. A client that reads nothing takes no close frame."""
        for subscription in self.list_all():
            if subscription.disconnect is not None:
                subscription.disconnect()

    def list_all(self) -> list[Subscription]:
        """Return the subscriptions of all sockets."""
        with self._lock:
            return [item for subscriptions in self._subscriptions.values() for item in subscriptions]

    def _run(self) -> None:
        while not self.is_closing:
            try:
                for message in listen(channels=map(key, CHANNELS)):
                    self._handle_message(message)
            except (redis.RedisError, OSError) as error:
                if not self.is_closing:
                    log.warning("live_events_unavailable", error=repr(error))
            except Exception:  # a defect, or a malformed message: reconnecting reads the log
                log.exception("unhandled_exception")
            self._closing.wait(RECONNECT_SECONDS)

    def _handle_message(self, message: "dict[str, object]") -> None:
        payload = message["data"]
        if not isinstance(payload, bytes):
            # The number of subscribed channels. Once all are active, read what was published before.
            if payload == len(CHANNELS):
                self._resync_all()
        elif message["channel"] == key(VERDICTS_CHANNEL).encode():
            self.waiters.deliver(verdict_messages.decode(payload, self.waiters.is_awaited))
        elif message["channel"] == key(ACCESS_CHANGES_CHANNEL).encode():
            self._mark_for_recheck(set(map(UUID, payload.decode().split())))
        else:
            self._deliver(payload)

    def _mark_for_recheck(self, ids: set[UUID]) -> None:
        """Let the sockets of these players and organizations check their access."""
        for subscription in self.list_all():
            if subscription.listener in ids or subscription.owner in ids:
                subscription.needs_recheck = True
                subscription.has_events.set()

    def _resync_all(self) -> None:
        for subscription in self.list_all():
            subscription.must_replay = subscription.needs_recheck = True
            subscription.has_events.set()
        self.waiters.wake()

    def _deliver(self, payload: bytes) -> None:
        if not self._subscriptions:
            return
        for event in decode(payload):
            with self._lock:
                subscriptions = [
                    *self._subscriptions.get(("player", event.player_id), ()),
                    *self._subscriptions.get(("org", event.org_id), ()),
                ]
            for subscription in subscriptions:
                subscription.push(event)


def init_app(app: Flask, waiter_limit: int) -> None:
    """Create this process's fan-out. It opens no connection before its first use."""
    app.extensions[EXTENSION] = Fanout(VerdictWaiters(waiter_limit))


def current_fanout() -> Fanout:
    """Return the fan-out of the current application."""
    return cast("Fanout", current_app.extensions[EXTENSION])
