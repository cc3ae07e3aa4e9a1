"""The broker of the workers, set before any actor is imported. Its consumers wait for wakeups instead of polling.

Dramatiq's Redis consumer sleeps between polls, up to a second when it is quiet. This one polls as rarely but listens
on Redis pub/sub meanwhile, so a message is fetched within a millisecond. If the wakeup is lost, the poll finds it.
There is no Retries middleware: attempts and due times are in PostgreSQL.
"""

import gc
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, cast

import dramatiq
import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.middleware import Middleware

from shared.infra import db
from shared.infra.heartbeats import Heartbeat
from shared.infra.logging import bound_request_id, configure, get_logger
from shared.infra.message_sender import broker, wakeup_channel
from shared.infra.redis import listen, make_client, require_no_eviction
from shared.messages import Message, ScansPending
from workers.time_limits import time_limits

log = get_logger()
P = ParamSpec("P")


class QueueWakeups:
    """The Redis subscriber of a worker process. Sets the events of the consumers whose queue has new messages."""

    def __init__(self) -> None:
        self._events: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def register(self, queue: str) -> threading.Event:
        """Return an event that is set whenever a message is put on the queue."""
        event = threading.Event()
        with self._lock:
            self._events.setdefault(wakeup_channel(queue), []).append(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="queue-wakeups", daemon=True)
                self._thread.start()
        return event

    def unregister(self, event: threading.Event) -> None:
        """Stop setting this event."""
        with self._lock:
            for events in self._events.values():
                if event in events:
                    events.remove(event)

    def _set(self, channel: str | None = None) -> None:
        with self._lock:
            for name, events in self._events.items():
                for event in events if channel in (None, name) else ():
                    event.set()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                for received in listen(patterns=[wakeup_channel("*")]):
                    if received["type"] == "psubscribe":
                        # Wakeups may have been published before the subscription.
                        self._set()
                    else:
                        self._set(received["channel"].decode())
            except redis.RedisError as error:
                log.warning("wakeups_unavailable", error=str(error))
                pause.wait(1.0)


queue_wakeups = QueueWakeups()


class PushConsumer(_RedisConsumer):
    """Dramatiq's consumer, which waits for a wakeup where it would sleep."""

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        # Without a timeout, the base class does not sleep.
        super().__init__(broker, queue_name, prefetch, timeout=0)
        self.idle_seconds = timeout / 1000
        self.wakeup = queue_wakeups.register(queue_name)
        self.heartbeat = Heartbeat(f"worker-{queue_name}")

    def __next__(self) -> MessageProxy | None:
        self.heartbeat.beat()
        # Cleared before the fetch: a wakeup during the fetch is not lost.
        self.wakeup.clear()
        message = cast("MessageProxy | None", super().__next__())
        if message is None:
            self.wakeup.wait(self.idle_seconds)
        return message

    def ack(self, message: MessageProxy) -> None:
        super().ack(message)
        # The prefetch limit leaves room for another message.
        self.wakeup.set()

    def nack(self, message: MessageProxy) -> None:
        super().nack(message)
        self.wakeup.set()

    def close(self) -> None:
        queue_wakeups.unregister(self.wakeup)
        super().close()


class PushBroker(RedisBroker):
    """Dramatiq's broker with consumers that are woken."""

    @property
    def consumer_class(self) -> type[Consumer]:
        return PushConsumer


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
worker_broker = PushBroker(
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
