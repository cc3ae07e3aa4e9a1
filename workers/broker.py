"""The broker of the workers, set before any actor is imported.

There is no Retries middleware: attempts and due times are in PostgreSQL.
"""

import gc
import threading
from collections.abc import Callable
from typing import Any, ParamSpec

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware

from shared.infra import build_info, db, error_reporting, saturation
from shared.infra.broker import make_broker
from shared.infra.logging import bound_request_id, configure, get_logger
from shared.infra.redis import require_no_eviction
from shared.infra.storage import marker
from shared.infra.tracing import tracing
from shared.messages import Message, RendersPending, ScansPending
from shared.settings import settings
from workers.message_metrics import MessageMetrics
from workers.message_tracing import MessageTracing
from workers.time_limits import time_limits

log = get_logger()
P = ParamSpec("P")


class WorkerLifecycle(Middleware):
    """Prepares a worker process after its fork, and asks actors to stop before its end."""

    def __init__(self) -> None:
        self.stopping = threading.Event()

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        configure("worker")
        require_no_eviction()
        time_limits.enable()
        if settings().metrics_port is not None:
            build_info.record()
            saturation.start()
        tracing.start("worker")
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
        tracing.stop()
        error_reporting.flush()


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


def _consuming_broker() -> Callable[..., dramatiq.Broker]:
    if settings().uses_rabbitmq:
        from workers.rabbitmq_consumer import EarlyAckBroker  # noqa: PLC0415 - the library is loaded only if it is used

        return EarlyAckBroker
    from workers.wakeup_consumer import WakeupBroker  # noqa: PLC0415

    return WakeupBroker


worker_lifecycle = WorkerLifecycle()
message_tracing = [MessageTracing()] if settings().otel_exporter_otlp_endpoint is not None else []
middleware = [worker_lifecycle, *message_tracing, RequestIdMiddleware(), MessageMetrics()]
worker_broker = make_broker(middleware, _consuming_broker())
dramatiq.set_broker(worker_broker)


def actor_for(message: type[Message]) -> Callable[[Callable[P, None]], "dramatiq.Actor[P, None]"]:
    """Register a function as the actor of a message. It gets the fields of the message as arguments."""
    return dramatiq.actor(actor_name=message.__name__, queue_name=message.queue, broker=worker_broker)
