"""Checks of Waymark's processes: leaders, workers, web, and the catalog."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import redis

from shared.infra.broker import BrokerUnavailable, broker, broker_client
from shared.infra.broker import check_broker as check_connection
from shared.infra.db import Conn, describe, exactly_one
from shared.infra.leader_election import find_leader_silence
from shared.infra.message_sender import send, wakeup_set
from shared.infra.redis import client
from shared.messages import GeneratedCodesPending, ImportsPending, Message, RendersPending, RollUp, ScansPending
from shared.settings import settings
from workers.cli.diagnosis.findings import Finding, fault, ok, warning

MESSAGES: dict[str, tuple[Message, ...]] = {
    "worker": (ScansPending(), GeneratedCodesPending()),
    "bulk": (RendersPending(), RollUp(), ImportsPending()),
}
"""The processes of the Procfile, and a message for each of their queues. The scheduler sends each of them, too."""
TAKEN_WITHIN_SECONDS = 5.0
MEANWHILE = "Scans are accepted meanwhile, and judged more slowly."
MAX_LAG_SECONDS = 15.0
MAX_SCAN_AGE_SECONDS = 60.0
WEB_TIMEOUT_SECONDS = 3.0


def check_leader(conn: Conn, name: str) -> Iterator[Finding]:
    """Check that a process leads as `name`, "relay" or "scheduler", and still sends statements."""
    silence = find_leader_silence(conn, name)
    remedy = f"Start the process {name}. If it runs, read its log, and restart it."
    if silence is None:
        yield fault(name, f"No {name} runs", remedy)
    elif silence > settings().leader_silence_seconds:
        yield fault(name, f"The {name} has sent no statement for {silence:,.0f} s", f"Restart the process {name}.")
    else:
        yield ok(name, f"A {name} leads")


def check_relay_lag(conn: Conn) -> Iterator[Finding]:
    """Check that events are numbered and published."""
    (seconds,) = exactly_one(
        conn.execute(
            """
            SELECT coalesce(extract(epoch FROM clock_timestamp() - least(
                (SELECT min(at) FROM events WHERE position IS NULL),
                (SELECT at FROM events
                 WHERE position > coalesce((SELECT position FROM log_positions WHERE name = 'relay'), 0)
                 ORDER BY position LIMIT 1))), 0)::double precision
            """
        )
    )
    if seconds > MAX_LAG_SECONDS:
        yield fault(
            "live events",
            f"Live events are {seconds:,.0f} s late",
            "Check that Redis answers and that no transaction is open for long. Then restart the process relay.",
        )
    else:
        yield ok("live events", "Live events are published")


def check_scans(conn: Conn) -> Iterator[Finding]:
    """Check that accepted scans are judged."""
    waiting, oldest = exactly_one(conn.execute("SELECT waiting, oldest_seconds FROM backlog WHERE queue = 'scans'"))
    if oldest > MAX_SCAN_AGE_SECONDS:
        yield fault(
            "scans",
            f"{waiting:,} scans wait for a verdict, the oldest for {oldest:,.0f} s",
            "Start more processes of worker, and read their logs.",
        )
    else:
        yield ok("scans", f"{waiting:,} scans wait for a verdict")


def check_workers() -> Iterator[Finding]:
    """Send a message to each queue of worker and bulk, and check that a process takes it.

    The messages are those of the scheduler: they say that rows may be pending.
    """
    messages = [message for each in MESSAGES.values() for message in each]
    for message in messages:
        send(message)
    deadline = time.monotonic() + TAKEN_WITHIN_SECONDS
    while (waiting := [message for message in messages if is_waiting(message)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process, its_messages in MESSAGES.items():
        queues = [message.queue for message in its_messages if message in waiting]
        if queues:
            yield fault(
                process,
                f"No process takes messages of {', '.join(queues)}",
                f"Start the process {process}. If it runs, it is busy or stuck: see `waymark backlog`.",
            )
        else:
            yield ok(process, f"Messages of {', '.join(message.queue for message in its_messages)} are taken")


def is_waiting(message: Message) -> bool:
    """Return whether no worker has taken this message, which has no fields. RabbitMQ: whether its queue is unused."""
    if settings().uses_rabbitmq:
        return not broker().count_consumers(message.queue)
    return broker_client().zscore(wakeup_set(message.queue), type(message).__name__) is not None


def check_redis() -> Iterator[Finding]:
    """Check that Redis answers, and that it never evicts messages. Managed servers block CONFIG, so INFO is read."""
    try:
        info = client().info()
    except redis.RedisError as error:
        yield fault(
            "Redis",
            f"Redis is unavailable: {describe(error)}",
            f"{_remedy(error, 'REDIS_URL', 'Start Redis')} {MEANWHILE}",
        )
        return
    policy = str(info.get("maxmemory_policy", "noeviction"))
    memory, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if policy.startswith("allkeys"):
        yield fault(
            "Redis",
            f"Redis evicts messages when its memory is full: maxmemory-policy is {policy}",
            "Set maxmemory-policy to noeviction, or to a policy that begins with volatile.",
        )
    elif limit and memory > 0.9 * limit:
        yield warning("Redis", f"Redis uses {memory / limit:.0%} of its memory", "Raise maxmemory, or its machine's.")
    else:
        yield ok("Redis", f"Redis {info.get('redis_version')} answers, and never evicts messages ({policy})")


def check_broker() -> Iterator[Finding]:
    """Check the broker of messages, if it is not the Redis of REDIS_URL."""
    if settings().broker_is_redis_url:
        return
    try:
        check_connection()
    except BrokerUnavailable as error:
        yield fault(
            "broker",
            f"The broker of BROKER_URL is unavailable: {describe(error)}",
            f"{_remedy(error.__cause__, 'BROKER_URL', 'Start it')} {MEANWHILE}",
        )
    else:
        yield ok("broker", "The broker of BROKER_URL answers")


def _remedy(error: BaseException | None, name: str, start: str) -> str:
    if isinstance(error, redis.AuthenticationError):
        return f"Correct the user and the password in {name}."
    return f"{start}, or correct {name}."


def check_web() -> Iterator[Finding]:
    """Check that a web process answers, here or at PUBLIC_URL."""
    # The variables http_proxy and https_proxy are for the internet.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    addresses = dict.fromkeys((f"http://127.0.0.1:{settings().port}", settings().public_base_url))
    errors = []
    for address in addresses:
        try:
            with opener.open(f"{address}/healthz", timeout=WEB_TIMEOUT_SECONDS):
                yield ok("web", f"{address} answers")
                return
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            errors.append(f"{address}: {getattr(reason, 'strerror', None) or reason}")
    yield warning(
        "web", f"No web process answers ({'; '.join(errors)})", "Start the process web, and check the proxy before it."
    )


def check_catalog() -> Iterator[Finding]:
    """Check that the quest catalog accepts connections."""
    host, _, port = settings().grpc_server_url.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), WEB_TIMEOUT_SECONDS).close()
    except OSError as error:
        yield warning(
            "catalog",
            f"The quest catalog at {settings().grpc_server_url} is unreachable: {error.strerror or error}",
            "Start the process catalog, or correct GRPC_SERVER_URL. Quests are served from the cache meanwhile.",
        )
    else:
        yield ok("catalog", f"The quest catalog at {settings().grpc_server_url} accepts connections")
