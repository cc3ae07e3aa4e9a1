"""One Redis subscriber per process, fanned out to this process's sockets and waiting requests.

Pub/sub forgets: after every (re)connection each socket reads what it missed from the event log, and each waiting
request looks at its scan again.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg

from shared.infra import db
from shared.infra.event_log import LogPosition, Snapshot
from shared.infra.logging import get_logger
from shared.infra.pubsub_messages import (
    ACCESS_CHANGES_CHANNEL,
    EVENTS_CHANNEL,
    VERDICTS_CHANNEL,
    PublishedEvent,
    decode,
)
from shared.infra.redis import key, listen
from shared.scans import store
from web.realtime.verdict_waiters import VerdictWaiters, Waiter

log = get_logger()

QUEUE_LENGTH = 1_000
CHANNELS = (EVENTS_CHANNEL, VERDICTS_CHANNEL, ACCESS_CHANGES_CHANNEL)


class Subscription:
    """What one socket has yet to send. Filled by the subscriber's thread, emptied by the socket's."""

    def __init__(self, stream: str, owner: UUID, listener: UUID) -> None:
        self.stream = stream  # "player" or "org"
        self.owner = owner
        self.listener = listener
        """Who listens: the owner, or one of an organization's staff."""
        self.needs_recheck = True
        """Whether the listener may have lost the right to listen: a login or role of theirs has ended. At first, too,
        for it may have while the socket was being opened."""
        self.position = LogPosition(0, 0)
        """Everything up to here was sent, or is not to be."""
        self.seen: Snapshot | None = None
        """Without a place to resume from: what was committed before the upgrade is not news."""
        self.must_replay = False
        """The log holds something that did not come through Redis."""
        self.replaying = False
        self.overflowed = False
        self.has_events = threading.Event()
        self._queue: deque[PublishedEvent] = deque()

    def start_at(self, now: Snapshot, since: LogPosition | None) -> None:
        """Say from where on events are news. The feed is filled already, so that none falls between."""
        if since is None:
            self.seen, self.position = now, LogPosition(now.xmin, 0)
        else:
            self.must_replay, self.position = True, since

    def push(self, published: PublishedEvent) -> None:
        """Queue one event; too many make a slow socket overflow, and one that replays the log read on there."""
        if len(self._queue) < QUEUE_LENGTH:
            self._queue.append(published)
        elif self.replaying or self.must_replay:
            self._queue.clear()
            self.must_replay = True
        else:
            self.overflowed = True
        self.has_events.set()

    def pop(self) -> str | None:
        """The next message to send, or None. What was sent before, or was no news, is skipped."""
        while self._queue:
            published = self._queue.popleft()
            if self.accepts(published.position):
                return published.text
        return None

    def accepts(self, position: LogPosition) -> bool:
        """Whether an event is news to this socket; then it counts as sent."""
        if position <= self.position:
            return False
        self.position = position
        return self.seen is None or not self.seen.sees(position.xid)

    def attach(self, news: threading.Event) -> None:
        """Use the socket's own event from here on, so that one wait hears of news, of the client, and of the end."""
        self.has_events = news
        news.set()


class Fanout:
    """This process's subscriber, its feeds and its waiting requests."""

    def __init__(self, waits: VerdictWaiters) -> None:
        self.waits = waits
        self.closing = False
        self._feeds: dict[tuple[str, str], list[Subscription]] = defaultdict(list)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the subscriber on first use: after the fork, and only where somebody listens."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="fanout", daemon=True)
                    self._thread.start()

    @contextmanager
    def wait_for_verdict(self, scan_id: UUID, seconds: float) -> Iterator[Waiter | None]:
        """Stand in line for a scan's verdict; see `Waits.place`."""
        if seconds > 0:
            self.start()
        with self.waits.register(scan_id, seconds) as wait:
            yield wait

    def add(self, feed: Subscription) -> None:
        self.start()
        with self._lock:
            self._feeds[feed.stream, str(feed.owner)].append(feed)

    def remove(self, feed: Subscription) -> None:
        with self._lock:
            name = (feed.stream, str(feed.owner))
            self._feeds[name].remove(feed)
            if not self._feeds[name]:
                del self._feeds[name]

    def close(self) -> None:
        """The process is about to end: have every socket and every waiting request finish."""
        self.closing = True
        self.waits.close()
        for feed in self._all():
            feed.has_events.set()

    def _all(self) -> list[Subscription]:
        with self._lock:
            return [feed for feeds in self._feeds.values() for feed in feeds]

    def _run(self) -> None:
        pause = threading.Event()
        while not self.closing:
            try:
                for said in listen(channels=map(key, CHANNELS)):
                    self._handle_message(said)
            except Exception as error:  # noqa: BLE001 - also what is not ours or cannot be read: sockets live on the log
                log.warning("live_events_unavailable", error=repr(error))
                pause.wait(0.5)

    def _handle_message(self, said: "dict[str, object]") -> None:
        payload = said["data"]
        if not isinstance(payload, bytes):
            if payload == len(CHANNELS):  # the subscription stands: look at what was said before it
                self._resync_all()
        elif said["channel"] == key(VERDICTS_CHANNEL).encode():
            self._deliver_verdicts([UUID(scan_id) for scan_id in payload.decode().split()])
        elif said["channel"] == key(ACCESS_CHANGES_CHANNEL).encode():
            self._mark_for_recheck({UUID(listener) for listener in payload.decode().split()})
        else:
            self._deliver(payload)

    def _deliver_verdicts(self, settled: list[UUID]) -> None:
        """Read what was settled together at once for all who wait for it: a look by each of them costs twice as much.
        Without PostgreSQL they are left to look for themselves."""
        awaited = self.waits.filter_awaited(settled)
        if not awaited:
            return
        try:
            with db.connection() as conn:
                self.waits.deliver(scan for scan in store.find_many(conn, awaited) if scan.is_settled)
        except psycopg.OperationalError:
            pass
        self.waits.wake(awaited)

    def _mark_for_recheck(self, listeners: set[UUID]) -> None:
        for feed in self._all():
            if feed.listener in listeners:
                feed.needs_recheck = True
                feed.has_events.set()

    def _resync_all(self) -> None:
        for feed in self._all():
            feed.must_replay = feed.needs_recheck = True
            feed.has_events.set()
        self.waits.wake()

    def _deliver(self, payload: bytes) -> None:
        if not self._feeds:
            return
        for published in decode(payload):
            with self._lock:
                feeds = [
                    *self._feeds.get(("player", published.player_id), ()),
                    *self._feeds.get(("org", published.org_id), ()),
                ]
            for feed in feeds:
                feed.push(published)
