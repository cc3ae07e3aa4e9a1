"""Consumers of RabbitMQ. The server pushes messages to them, so they need no wakeups."""

import threading
from collections.abc import Iterable
from typing import cast

from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.rabbitmq import _RabbitmqConsumer
from dramatiq.errors import ConnectionClosed

from shared.infra.heartbeats import Heartbeat
from shared.infra.rabbitmq import ERRORS, AmqpBroker, close
from workers.consumer_heartbeat import ConsumerHeartbeat
from workers.prefetch import prefetch_limit

IDLE_SECONDS = 1.0


class EarlyAckConsumer(_RabbitmqConsumer):
    """Dramatiq's consumer, which acknowledges a message when it takes it, and takes up to a limit at a time.

    RabbitMQ closes the channel of a consumer that acknowledges a message too late, by default after 30 minutes. It then
    delivers the message again, and a backup takes longer. The messages that a killed process had taken are lost, as
    with wakeups. The scheduler sends them again.
    """

    def __init__(self, broker: AmqpBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self.heartbeat = ConsumerHeartbeat(queue_name)
        self.limit = prefetch_limit(queue_name, prefetch)
        self._taken = 0
        self._lock = threading.Lock()
        self._has_room = threading.Event()
        self._is_paused = False
        self.idle_seconds = min(timeout / 1000, IDLE_SECONDS)
        # One message is on its way to this process while it has room.
        super().__init__(broker, queue_name, 1, round(self.idle_seconds * 1000))

    def __next__(self) -> MessageProxy | None:
        self.heartbeat.beat()
        try:
            return self._take()
        except ERRORS as error:
            raise ConnectionClosed(error) from None

    def _take(self) -> MessageProxy | None:
        self._has_room.clear()
        if self._taken >= self.limit and not self._has_room.wait(self.idle_seconds):
            self._pause()
            return None
        self._resume()
        message = cast("MessageProxy | None", super().__next__())
        if message is not None:
            with self._lock:
                self._taken += 1
            self.channel.basic_ack(message._tag)
        return message

    def ack(self, _message: MessageProxy) -> None:
        """Make room for another message. Any thread may call this."""
        with self._lock:
            self._taken -= 1
        self._has_room.set()

    nack = ack

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Send messages again that this process has taken and not handled."""
        for message in messages:
            self.broker.enqueue(message)

    def close(self) -> None:
        """Close the connection. A message that was on its way returns to the queue."""
        close(self.connection)

    def _pause(self) -> None:
        """Let other processes take the messages of the queue, and answer heartbeats."""
        if not self._is_paused:
            self.channel.cancel()
            self._is_paused = True
        self.connection.process_data_events()

    def _resume(self) -> None:
        if self._is_paused:
            self.iterator = self.channel.consume(self.queue_name, inactivity_timeout=self.idle_seconds)
            self._is_paused = False


class EarlyAckBroker(AmqpBroker):
    """The broker with these consumers."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5_000) -> Consumer:
        """Declare the queue and create a consumer with a connection of its own. Raise ConnectionClosed.

        The queue has a heartbeat also while RabbitMQ is unavailable.
        """
        Heartbeat(f"worker-{queue_name}").beat()
        try:
            self.declare_queue(queue_name, ensure=True)
            return EarlyAckConsumer(self, queue_name, prefetch, timeout)
        except ERRORS as error:
            raise ConnectionClosed(error) from None
        finally:
            # This thread sends nothing, so it would answer no heartbeat of the connection that declared the queue.
            del self.connection
