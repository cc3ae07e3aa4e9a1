"""The module that `dramatiq workers.main` loads: the directory of metrics, then the broker, then every actor."""

from workers import metrics_directory  # isort: skip  # noqa: F401 - before any metric is created
from workers.broker import worker_broker as broker

from workers import analytics, backup, cleanup, erasure, generated_codes, imports, renders, scans  # isort: skip

__all__ = ["analytics", "backup", "broker", "cleanup", "erasure", "generated_codes", "imports", "renders", "scans"]
