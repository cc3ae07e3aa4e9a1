"""Consumers of RabbitMQ. The server pushes messages to them, so they need no wakeups."""

from typing import cast

from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.rabbitmq import _RabbitmqConsumer

from shared.infra.heartbeats import Heartbeat
from shared.infra.rabbitmq import AmqpBroker
from workers.consumer_heartbeat import ConsumerHeartbeat
from workers.prefetch import prefetch_limit

IDLE_MILLISECONDS = 1_000


class HeartbeatConsumer(_RabbitmqConsumer):
    """Dramatiq's consumer, which records that it runs."""

    def __init__(self, broker: AmqpBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self.heartbeat = ConsumerHeartbeat(queue_name)
        super().__init__(broker, queue_name, prefetch_limit(queue_name, prefetch), min(timeout, IDLE_MILLISECONDS))

    def __next__(self) -> MessageProxy | None:
        self.heartbeat.beat()
        return cast("MessageProxy | None", super().__next__())


class HeartbeatBroker(AmqpBroker):
    """The broker with these consumers."""

    @property
    def consumer_class(self) -> type[Consumer]:
        return HeartbeatConsumer

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5_000) -> Consumer:
        """Create a consumer. The queue has a heartbeat also while RabbitMQ is unavailable, which raises an error."""
        Heartbeat(f"worker-{queue_name}").beat()
        return super().consume(queue_name, prefetch, timeout)
