"""Consumers of Redis, which wait for wakeups instead of polling.

Dramatiq's Redis consumer sleeps between polls, up to a second when it is quiet. This one blocks on a sorted set of
wakeups meanwhile. Most messages have no fields: the wakeup is the message. One command takes it, where a message on a
queue needs one to fetch it and one to acknowledge it.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from typing import cast

import dramatiq
import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

from shared.infra.message_sender import QUEUED, wakeup_set
from workers.consumer_heartbeat import ConsumerHeartbeat
from workers.prefetch import prefetch_limit


class WakeupConsumer(_RedisConsumer):
    """Dramatiq's consumer, which takes messages without fields from the wakeups of its queue.

    One consumer takes a wakeup, the one that waits longest. It fetches from the queue itself if a wakeup says so, and
    after each wait without one: other workers' messages return there when they crash.
    """

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        # Without a timeout, the base class does not sleep.
        super().__init__(broker, queue_name, prefetch_limit(queue_name, prefetch), timeout=0)
        self.idle_seconds = min(timeout / 1000, 1.0)
        self.heartbeat = ConsumerHeartbeat(queue_name)
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
