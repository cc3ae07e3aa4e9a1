"""Metrics of the messages that a worker handles."""

import time
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware

from shared.infra.metrics import Counter, Gauge, Histogram
from shared.settings import settings

LABELS = ("queue", "message")
MESSAGES = Counter(
    "waymark_messages_total", "Messages handled, by outcome: done, failed or skipped.", (*LABELS, "outcome")
)
DURATION = Histogram(
    "waymark_message_duration_seconds",
    "Time that an actor needed for a message.",
    LABELS,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
IN_PROGRESS = Gauge(
    "waymark_messages_in_progress", "Messages that are handled now.", LABELS, multiprocess_mode="livesum"
)


class MessageMetrics(Middleware):
    """Counts and times each message."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    @property
    def forks(self) -> list[Any]:
        """Return the function of one more process, which serves METRICS_PORT."""
        if settings().metrics_port is None:
            return []
        from workers import metrics_exporter  # noqa: PLC0415 - Dramatiq needs its name only

        return [metrics_exporter.serve]

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        self._started[message.message_id] = time.perf_counter()
        IN_PROGRESS.labels(message.queue_name, message.actor_name).inc()

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        self._finish(message, "done" if exception is None else "failed")

    def after_skip_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        self._finish(message, "skipped")

    def _finish(self, message: MessageProxy, outcome: str) -> None:
        labels = (message.queue_name, message.actor_name)
        MESSAGES.labels(*labels, outcome).inc()
        # A message that another middleware skips before it starts has no time.
        if (started := self._started.pop(message.message_id, None)) is not None:
            DURATION.labels(*labels).observe(time.perf_counter() - started)
            IN_PROGRESS.labels(*labels).dec()
