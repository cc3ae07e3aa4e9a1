"""What each consumer of a queue reports: that it runs, and when it last looked for messages."""

from shared.infra.heartbeats import Heartbeat
from shared.infra.metrics import Gauge

LAST_FETCH = Gauge(
    "waymark_consumer_last_fetch_timestamp_seconds",
    "When the consumers of a queue last looked for messages: the earliest of the processes. Each does so every second.",
    ("queue",),
    multiprocess_mode="livemin",
)


class ConsumerHeartbeat(Heartbeat):
    """The heartbeat of a consumer."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"worker-{queue}")
        self._last_fetch = LAST_FETCH.labels(queue)

    def beat(self) -> None:
        super().beat()
        self._last_fetch.set_to_current_time()
