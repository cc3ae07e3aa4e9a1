"""The relay: tails the event log and publishes what is new to Redis pub/sub, in commit order. One leads.

PostgreSQL remembers how far it has come, so that a relay that dies takes nothing with it: the next one publishes on
from the mark, perhaps repeating a little, which sockets know to skip.
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
IDLE_SECONDS = 1.0  # the slow poll, should a notification be lost
STALL_CHECK_SECONDS = 1.0
BLOCKED_POLL_SECONDS = 0.005  # while an older transaction still runs, and what came after it may not be read yet
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
    # LISTEN precedes the first read, so no event is missed.
    conn.execute("SET synchronous_commit = off")  # a mark that is lost only repeats a little
    conn.execute("LISTEN qr_scan")
    conn.execute(f"LISTEN {event_log.NOTIFY_CHANNEL}")
    heartbeat = Heartbeat(CONSUMER)
    mark = LogPosition(0, 0)
    next_check = time.monotonic()
    while not stopping.is_set():
        heartbeat.beat()
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + STALL_CHECK_SECONDS
            if stalled := db.terminate_stalled_transactions(conn, settings().scan_lease_seconds):
                log.warning("stalled_transactions_terminated", count=stalled)
            event_log_restore.restore_positions(conn)
            mark = event_log.load_position(conn, CONSUMER) or LogPosition(
                0, 0
            )  # who folds may have renumbered the log as well
        batch = event_log.read(conn, mark, limit=BATCH)
        if batch:
            publish(conn, batch, stopping, heartbeat)
            if stopping.is_set():
                return
            mark = batch[-1].position
            event_log.save_position(conn, CONSUMER, mark)
        if len(batch) < BATCH:
            wait(conn, BLOCKED_POLL_SECONDS if event_log.has_blocked_events(conn) else IDLE_SECONDS)


def wait(conn: Conn, seconds: float) -> None:
    """Sleep until a notification comes, and swallow those that came with it."""
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
