"""The relay: reads the event log and publishes new events to Redis, in commit order. One process leads.

Its position is stored in PostgreSQL, so the next relay continues where a crashed one stopped. It may publish some
events again, which WebSockets skip.
"""

import threading
import time

import psycopg
import redis

from shared.infra import db, event_log, event_log_restore
from shared.infra.db import Conn
from shared.infra.event_log import Event, LogPosition
from shared.infra.heartbeats import Heartbeat
from shared.infra.leader_election import leadership
from shared.infra.logging import configure, get_logger
from shared.infra.pubsub_messages import EVENTS_CHANNEL, encode
from shared.infra.redis import client, key, require_no_eviction
from shared.infra.signals import stop_event
from shared.settings import settings

log = get_logger()

BATCH = 500
LOG_START = LogPosition(0, 0)
IDLE_SECONDS = 1.0
"""The poll that finds events whose notification was lost."""
STALL_CHECK_SECONDS = 1.0
BLOCKED_POLL_SECONDS = 0.005
"""While events wait for an older transaction that still runs."""
CONSUMER = "relay"


def main() -> None:
    configure("relay")
    require_no_eviction()
    stopping = stop_event()
    while not stopping.is_set():
        try:
            with leadership("relay", stopping) as lead:
                if lead is None:
                    return
                publish_events(lead.conn, stopping)
        except psycopg.OperationalError as error:
            log.warning("database_unavailable", error=str(error))
            stopping.wait(1.0)


def publish_events(conn: Conn, stopping: threading.Event) -> None:
    """Publish events as they become readable, until `stopping` is set."""
    # A position that a crash of PostgreSQL loses only repeats some events.
    conn.execute("SET synchronous_commit = off")
    # LISTEN precedes the first read, so no event is missed.
    conn.execute("LISTEN qr_scan")
    conn.execute("LISTEN events")
    heartbeat = Heartbeat(CONSUMER)
    position = LOG_START
    next_check = time.monotonic()
    while not stopping.is_set():
        heartbeat.beat()
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + STALL_CHECK_SECONDS
            if stalled := db.terminate_stalled_transactions(conn, settings().scan_lease_seconds):
                log.warning("stalled_transactions_terminated", count=stalled)
            event_log_restore.restore_positions(conn)
            # The rollups may have restored the log, too.
            position = event_log.load_position(conn, CONSUMER) or LOG_START
        batch = event_log.read(conn, position, limit=BATCH)
        if batch:
            publish(conn, batch, stopping, heartbeat)
            if stopping.is_set():
                return
            position = batch[-1].position
            event_log.save_position(conn, CONSUMER, position)
        if len(batch) < BATCH:
            wait(conn, BLOCKED_POLL_SECONDS if event_log.has_blocked_events(conn) else IDLE_SECONDS)


def wait(conn: Conn, seconds: float) -> None:
    """Wait for a notification, and discard those that arrived with it."""
    for _ in conn.notifies(timeout=seconds, stop_after=1):
        pass


def publish(conn: Conn, batch: list[Event], stopping: threading.Event, heartbeat: Heartbeat) -> None:
    """Publish the batch. Retry while Redis is unavailable, so no event is skipped."""
    while not stopping.is_set():
        heartbeat.beat()
        try:
            client().publish(key(EVENTS_CHANNEL), encode(batch))
            return
        except redis.RedisError as error:
            log.warning("redis_unavailable", events=len(batch), error=str(error))
            conn.execute("SELECT")  # PostgreSQL ends the leadership of a silent connection
            stopping.wait(0.5)


if __name__ == "__main__":
    main()
