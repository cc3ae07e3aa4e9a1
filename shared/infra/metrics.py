"""Metrics for Prometheus. Only this module imports prometheus_client.

Each module creates the metrics that it records, so a process exports those of the modules it has loaded. Processes that
share a directory (see `metrics_files`) store values in files: a gauge there needs a `multiprocess_mode`.
"""

import os
from collections.abc import Iterable

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from shared.infra.metrics_files import MULTIPROCESS_VARIABLE

__all__ = [
    "Collector",
    "Counter",
    "CounterMetricFamily",
    "Gauge",
    "GaugeMetricFamily",
    "Histogram",
    "render",
    "render_collectors",
]

# One more series for each counter, which Prometheus 2 does not use.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render() -> bytes:
    """Return the metrics of this process, or of all that share its directory. That can take 60 ms of CPU time."""
    registry = REGISTRY
    if MULTIPROCESS_VARIABLE in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def render_collectors(collectors: Iterable[Collector]) -> bytes:
    """Return metrics that are computed now."""
    registry = CollectorRegistry(auto_describe=False)
    for each in collectors:
        registry.register(each)
    return generate_latest(registry)
