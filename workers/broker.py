"""The broker of the workers, set before any actor is imported. Its consumers wait for wakeups instead of polling.

Dramatiq's Redis consumer sleeps between polls, up to a second when it is quiet. This one blocks on a sorted set of
wakeups meanwhile. Most messages have no fields: the wakeup is the message. One command takes it, where a message on a
queue needs one to fetch it and one to acknowledge it. There is no Retries middleware: attempts and due times are in
PostgreSQL.
"""

import gc
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import Any, ParamSpec, cast

import dramatiq
import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware

from shared.infra import db
from shared.infra.heartbeats import Heartbeat
from shared.infra.logging import bound_request_id, configure, get_logger
from shared.infra.message_sender import QUEUED, broker, wakeup_set
from shared.infra.redis import make_client, require_no_eviction
from shared.infra.storage import marker
from shared.messages import Message, RendersPending, ScansPending
from workers.time_limits import time_limits

log = get_logger()
P = ParamSpec("P")
LIMITS = {ScansPending.queue: 2}
"""How many messages of a queue a process handles at a time. Wakeups that come meanwhile are taken together, or by
another process: large batches of scans cost less."""


class WakeupConsumer(_RedisConsumer):
    """Dramatiq's consumer, which takes messages without fields from the wakeups of its queue.

    One consumer takes a wakeup, the one that waits longest. It fetches from the queue itself if a wakeup says so, and
    after each wait without one: other workers' messages return there when they crash.
    """

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        # Without a timeout, the base class does not sleep.
        super().__init__(broker, queue_name, min(prefetch, LIMITS.get(queue_name, prefetch)), timeout=0)
        self.idle_seconds = min(timeout / 1000, 1.0)
        self.heartbeat = Heartbeat(f"worker-{queue_name}")
        self.has_room = threading.Event()

    @cached_property
    def connection(self) -> redis.Redis:
        """A connection of its own: without the pool, a wakeup costs a third less. Opened on first use, so that the
        consumer has a heartbeat while Redis is unavailable.
        """
        connected: redis.Redis = self.broker.client.client()
        return connected

    def __next__(self) -> MessageProxy | None:
        self.heartbeat.beat()
        if self.message_cache:
            return cast("MessageProxy | None", super().__next__())
        self.has_room.clear()
        if self.outstanding_message_count >= self.prefetch:
            self.has_room.wait(self.idle_seconds)
            return None
        try:
            taken = self.connection.bzpopmin(wakeup_set(self.queue_name), timeout=self.idle_seconds)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None
        name = cast("bytes", taken[1]).decode() if taken else QUEUED
        if name == QUEUED:
            return cast("MessageProxy | None", super().__next__())
        message: dramatiq.Message[None] = dramatiq.Message(self.queue_name, name, (), {}, {})
        self.queued_message_ids.add(message.message_id)
        return MessageProxy(message)

    def ack(self, message: MessageProxy) -> None:
        if _is_queued(message):
            super().ack(message)
        self.queued_message_ids.discard(message.message_id)
        self.has_room.set()

    def nack(self, message: MessageProxy) -> None:
        if _is_queued(message):
            super().nack(message)
        self.queued_message_ids.discard(message.message_id)
        self.has_room.set()

    def close(self) -> None:
        if "connection" in vars(self):
            self.connection.close()
        super().close()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        messages = list(messages)
        super().requeue([message for message in messages if _is_queued(message)])
        # If Redis is unavailable, the next poll replaces them.
        with suppress(redis.RedisError):
            for message in messages:
                if not _is_queued(message):
                    self.connection.zadd(wakeup_set(self.queue_name), {message.actor_name: time.time()}, nx=True)


def _is_queued(message: MessageProxy) -> bool:
    return "redis_message_id" in message.options


class WakeupBroker(RedisBroker):
    """Dramatiq's broker with consumers that are woken."""

    @property
    def consumer_class(self) -> type[Consumer]:
        return WakeupConsumer


class WorkerLifecycle(Middleware):
    """Prepares a worker process after its fork, and asks actors to stop before its end."""

    def __init__(self) -> None:
        self.stopping = threading.Event()

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        configure("worker")
        require_no_eviction()
        time_limits.enable()
        gc.collect()
        # Imported objects are never freed. Scanning them in each collection took a sixth of the time of judging.
        gc.freeze()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        if worker.consumer_whitelist and ScansPending.queue not in worker.consumer_whitelist:
            configure("bulk")

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        if not worker.consumer_whitelist or RendersPending.queue in worker.consumer_whitelist:
            marker.check()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        self.stopping.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        db.close_pool()


class RequestIdMiddleware(Middleware):
    """Adds the id of the request that sent a message to the log lines of its actor."""

    def __init__(self) -> None:
        self._bound: dict[str, Any] = {}

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        bound = bound_request_id(message.options.get("request_id"))
        bound.__enter__()
        self._bound[message.message_id] = bound

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        bound = self._bound.pop(message.message_id, None)
        if exception is not None:
            log.error("actor_failed", actor=message.actor_name, exc_info=exception)
        if bound is not None:
            bound.__exit__(None, None, None)

    after_skip_message = after_process_message


worker_lifecycle = WorkerLifecycle()
worker_broker = WakeupBroker(
    client=make_client(),
    namespace=broker().namespace,
    middleware=[worker_lifecycle, RequestIdMiddleware()],
    maintenance_chance=broker().maintenance_chance,
    heartbeat_timeout=broker().heartbeat_timeout,
)
dramatiq.set_broker(worker_broker)


def actor_for(message: type[Message]) -> Callable[[Callable[P, None]], "dramatiq.Actor[P, None]"]:
    """Register a function as the actor of a message. It gets the fields of the message as arguments."""
    return dramatiq.actor(actor_name=message.__name__, queue_name=message.queue, broker=worker_broker)
