"""Dramatiq's broker for RabbitMQ, with bounded waits, bounded queues and no queues of delayed messages."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPConnectionError, AMQPError, ChannelClosedByBroker, UnroutableError

from shared.settings import settings

CONNECTION = {
    # A node that hangs is replaced after 15 to 30 seconds.
    "heartbeat": "10",
    # pika's defaults wait without limit while a memory or disk alarm blocks publishers.
    "blocked_connection_timeout": "2",
    "socket_timeout": "2",
    "stack_timeout": "3",
    "connection_attempts": "1",
    # A host that is lost acknowledges nothing. Linux then closes the connection.
    "tcp_options": "{'TCP_USER_TIMEOUT': 15000}",
}
"""Parameters of each connection. A parameter in the query of BROKER_URL replaces the one here."""

# A server that does not answer is not an AMQPError. pika asserts what a connection that was cut does not fulfill.
ERRORS = (AMQPError, AMQPConnectorException, AssertionError, OSError)

ANSWER_SECONDS = 5.0
CLOSE_SECONDS = 2.0

QUEUE = {"x-max-length": 1_000, "x-overflow": "drop-head", "x-message-ttl": 300_000}
"""Arguments of each queue. Without workers, the scheduler would leave 100,000 messages a day, and a new message makes
all earlier ones unnecessary. RabbitMQ refuses other arguments for a queue that exists, so these never change."""

# pika logs each lost connection in ten lines with tracebacks. The callers log it in one.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class AmqpBroker(RabbitmqBroker):
    """A broker that publishes with confirmation. Each thread that publishes has a connection.

    Queues are durable, and of the type that is the default of the virtual host.
    """

    def __init__(self, *, middleware: list[Middleware]) -> None:
        url = settings().broker_url
        nodes = url.get_secret_value().split(";") if url is not None else []
        super().__init__(url=[_with_defaults(node) for node in nodes], confirm_delivery=True, middleware=middleware)

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:
        """Declare a queue. Waymark delays no message, so it has no delay queue, which costs a worker a connection."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.queues_pending.add(queue_name)
            self.emit_after("declare_queue", queue_name)
        if ensure:
            self._ensure_queue(queue_name)

    def _build_queue_arguments(self, _queue_name: str) -> dict[str, Any]:
        return QUEUE

    def _declare_dq_queue(self, _queue_name: str) -> None:
        """Declare no queue of delayed messages."""

    def _declare_xq_queue(self, _queue_name: str) -> None:
        """Declare no queue of rejected messages: attempts are counted in PostgreSQL, and staff see dead letters."""

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Publish the message, on a new connection if the thread's own was lost. Raise ConnectionClosed.

        The base class tries six times, each of which takes seconds if the server does not answer.
        """
        self.declare_queue(message.queue_name)
        self.emit_before("enqueue", message, delay)
        for attempt in ("first", "last"):
            try:
                with answering(self.connection):
                    if message.queue_name in self.queues_pending:
                        self._declare_queue(message.queue_name)
                        self.queues_pending.discard(message.queue_name)
                    self.channel.basic_publish(
                        exchange="",
                        routing_key=message.queue_name,
                        body=message.encode(),
                        properties=pika.BasicProperties(delivery_mode=2),
                        mandatory=True,
                    )
                break
            except ERRORS as error:
                if isinstance(error, UnroutableError):
                    self.queues_pending.add(message.queue_name)
                del self.connection
                if attempt == "last":
                    raise ConnectionClosed(error) from None
        self.emit_after("enqueue", message, delay)
        return message

    def keep_alive(self) -> None:
        """Answer the heartbeats of this thread's connection, or close it if it was lost."""
        if getattr(self.state, "connection", None) is None:
            return
        try:
            self.connection.process_data_events()
        except ERRORS:
            del self.connection

    def count_consumers(self, queue_name: str) -> int:
        """Return the number of consumers of a queue, 0 if there is no such queue. Raise ConnectionClosed."""
        try:
            with answering(self.connection):
                return int(self.channel.queue_declare(queue_name, passive=True).method.consumer_count)
        except ChannelClosedByBroker:
            del self.connection
            return 0
        except ERRORS as error:
            del self.connection
            raise ConnectionClosed(error) from None

    def close(self) -> None:
        """Close the connections that this process opened to send."""
        for connection in tuple(self.connections):
            close(connection)

    def check(self) -> None:
        """Open and close a connection. Raise ConnectionClosed if that fails."""
        try:
            pika.BlockingConnection(self.parameters).close()
        except ERRORS as error:
            raise ConnectionClosed(error) from None


@contextmanager
def answering(connection: pika.BlockingConnection) -> Iterator[None]:
    """End the connection if the body waits longer than five seconds. The body then raises AMQPConnectionError.

    pika waits for a confirmation without limit, while heartbeats succeed. A queue whose nodes are in the minority
    confirms nothing.
    """
    connected = connection._impl
    silent = AMQPConnectionError(f"no answer within {ANSWER_SECONDS:.0f} seconds")
    timer = connected._adapter_call_later(ANSWER_SECONDS, lambda: connected._terminate_stream(silent))
    try:
        yield
    finally:
        connected._adapter_remove_timeout(timer)


def close(connection: pika.BlockingConnection) -> None:
    """Close the connection. Return after two seconds if the server does not answer: it ends with the process then.

    pika waits for the answer until the heartbeat fails. A worker has up to six connections, and is killed after 30 s.
    """

    def close_gracefully() -> None:
        with suppress(*ERRORS):
            connection.close()

    closing = threading.Thread(target=close_gracefully, name="rabbitmq-close", daemon=True)
    closing.start()
    closing.join(CLOSE_SECONDS)


def _with_defaults(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query=urlencode(CONNECTION | dict(parse_qsl(parts.query)))).geturl()
