"""The relay: gives committed events their positions, and publishes them to Redis in that order. One process leads.

The position of the last event that it published is stored in PostgreSQL, so the next relay continues where a crashed
one stopped. It may publish some events again, which WebSockets skip.
"""

import threading
import time
from datetime import UTC, datetime

import psycopg
import redis

from shared.infra import db, event_log
from shared.infra.db import Conn
from shared.infra.event_log import RELAY, Event
from shared.infra.event_sequencer import Sequencer
from shared.infra.heartbeats import Heartbeat
from shared.infra.leader_election import leadership
from shared.infra.logging import configure, get_logger
from shared.infra.metrics import Counter, Gauge
from shared.infra.pubsub_messages import EVENTS_CHANNEL, encode
from shared.infra.redis import client, key, require_no_eviction
from shared.infra.relay_wakeup import wait_for_wakeup
from shared.infra.signals import stop_event
from shared.settings import settings
from workers import metrics_server

log = get_logger()

BATCH = 500
POLL_SECONDS = 1.0
"""The poll that finds events whose wakeup was lost."""
PAUSE_SECONDS = 0.01
"""After a batch. A batch costs about as much as 50 events, so busy seconds have at most 100 of them."""
CHECK_SECONDS = 1.0
"""A relay that is killed publishes the events of this time again."""
RETRY_SECONDS = 0.5

PUBLISHED = Counter("waymark_relay_published_events_total", "Events that this relay published.")
FAILURES = Counter("waymark_relay_failures_total", "Batches of events that could not be published.")
LAG = Gauge(
    "waymark_relay_lag_seconds",
    "Age of the events that this relay publishes next. 0 if it has published all of them.",
    multiprocess_mode="livemax",
)


def main() -> None:
    configure("relay")
    require_no_eviction()
    metrics_server.start("relay")
    stopping = stop_event()
    while not stopping.is_set():
        try:
            with leadership("relay", stopping) as lead:
                if lead is None:
                    return
                LAG.set(0)
                with db.closed_if_read_only(lead.conn):
                    relay_events(lead.conn, stopping)
        except psycopg.OperationalError as error:
            log.warning("database_unavailable", error=str(error))
            stopping.wait(1.0)


def relay_events(conn: Conn, stopping: threading.Event) -> None:
    """Number and publish events as they are committed, until `stopping` is set."""
    sequencer = Sequencer(conn)
    heartbeat = Heartbeat(RELAY)
    published = saved = event_log.load_position(conn, RELAY)
    next_check = time.monotonic()
    while not stopping.is_set():
        heartbeat.beat()
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + CHECK_SECONDS
            if stalled := db.terminate_stalled_transactions(conn, settings().scan_lease_seconds):
                log.warning("stalled_transactions_terminated", count=stalled)
            if published != saved:
                event_log.save_position(conn, RELAY, published)
                saved = published
        batch = sequencer.number(limit=BATCH)
        if not batch or batch[0].position != published + 1:
            # Events that no relay has published come first: an earlier relay ended, or Redis was unavailable.
            batch = event_log.read(conn, published, limit=BATCH)
        if batch and not publish(batch):
            LAG.set(age(batch[0]))
            # Events are numbered meanwhile, for the other consumers. An attempt can take seconds, in which many come.
            retry_at = time.monotonic() + RETRY_SECONDS
            while sequencer.has_more and time.monotonic() < retry_at:
                sequencer.number(limit=BATCH)
            stopping.wait(retry_at - time.monotonic())
            continue
        if batch:
            published = batch[-1].position
        if len(batch) < BATCH and not sequencer.has_more:
            LAG.set(0)
            wait(stopping, after_batch=bool(batch))
        else:
            LAG.set(age(batch[-1]) if batch else 0)
    event_log.save_position(conn, RELAY, published)


def wait(stopping: threading.Event, *, after_batch: bool) -> None:
    """Wait for a wakeup or the next poll. Events that are committed in a pause after a batch are published together."""
    if after_batch:
        stopping.wait(PAUSE_SECONDS)
    try:
        wait_for_wakeup(POLL_SECONDS)
    except redis.RedisError:
        stopping.wait(POLL_SECONDS)


def publish(batch: list[Event]) -> bool:
    """Publish the batch. Return False if Redis is unavailable."""
    try:
        client().publish(key(EVENTS_CHANNEL), encode(batch))
    except redis.RedisError as error:
        FAILURES.inc()
        log.warning("redis_unavailable", events=len(batch), error=str(error))
        return False
    PUBLISHED.inc(len(batch))
    return True


def age(event: Event) -> float:
    """Return the seconds since the event, by this machine's clock."""
    return max(0.0, (datetime.now(UTC) - event.at).total_seconds())


if __name__ == "__main__":
    main()
