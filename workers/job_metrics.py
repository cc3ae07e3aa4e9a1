"""When the periodic tasks of workers last succeeded."""

from shared.infra.metrics import Gauge

LAST_SUCCESS = Gauge(
    "waymark_job_last_success_timestamp_seconds",
    "When a periodic task last succeeded, by task: cleanup or rollup.",
    # Not `job`: Prometheus has a label of that name.
    ("task",),
    multiprocess_mode="max",
)
