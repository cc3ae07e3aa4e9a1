"""Metrics for Prometheus. Only this module imports prometheus_client.

Each module creates the metrics that it records, so a process exports those of the modules it has loaded. Processes that
share a directory (see `metrics_files`) store values in files: a gauge there needs a `multiprocess_mode`.
"""

import os
from collections import deque
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
    "defer",
    "flush",
    "render",
    "render_collectors",
]

# One more series for each counter, which Prometheus 2 does not use.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_DEFERRED = 250
"""A flush then takes about a millisecond, in which a web process handles no request."""

_deferred: deque[tuple[Counter | Gauge | Histogram, tuple[str, ...], float]] = deque()


def defer(metric: Counter | Gauge | Histogram, labels: tuple[str, ...], amount: float) -> None:
    """Add the amount to a counter or gauge, or observe it in a histogram, at the next flush, within half a second.

    For metrics of each request: there, the processor has the code and the files of metrics in none of its caches, and
    they cost several times as much as in a flush. A process that is killed loses what it has not flushed.
    """
    _deferred.append((metric, labels, amount))
    # In a process without the thread of `saturation` too.
    if len(_deferred) >= MAX_DEFERRED:
        flush()


def flush() -> None:
    """Record what was deferred."""
    while True:
        try:
            metric, labels, amount = _deferred.popleft()
        except IndexError:
            return
        series = metric.labels(*labels) if labels else metric
        if isinstance(series, Histogram):
            series.observe(amount)
        else:
            series.inc(amount)


def render() -> bytes:
    """Return the metrics of this process, or of all that share its directory. That can take 60 ms of CPU time."""
    flush()
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
