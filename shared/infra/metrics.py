"""Metrics for Prometheus. Only this module imports prometheus_client.

Each module creates the metrics that it records, so a process exports those of the modules it has loaded. Processes that
share a directory (see `metrics_files`) store values in files: a gauge there needs a `multiprocess_mode`.
"""

import os
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

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
    "set_at_flush",
]

# One more series for each counter, which Prometheus 2 does not use.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_DEFERRED = 1_000
"""A flush then takes about a millisecond, in which a web process handles no request."""

_deferred: deque[tuple[Counter | Histogram, tuple[str, ...], float]] = deque()
_gauges: list[tuple[Gauge, Callable[[], float]]] = []


def defer(metric: Counter | Histogram, labels: tuple[str, ...], amount: float) -> None:
    """Add the amount to a counter, or observe it in a histogram, when `saturation` flushes, within half a second.

    For metrics of each request: there, the processor has the code and the files of metrics in none of its caches, and
    they cost several times as much as in a flush. A process that is killed loses what it has not flushed.
    """
    _deferred.append((metric, labels, amount))
    # In a process without the thread of `saturation` too.
    if len(_deferred) >= MAX_DEFERRED:
        flush()


def set_at_flush(gauge: Gauge, value: Callable[[], float]) -> None:
    """Set the gauge to this value at each flush."""
    _gauges.append((gauge, value))


def flush() -> None:
    """Record what was deferred."""
    amounts: defaultdict[tuple[Counter | Histogram, tuple[str, ...]], list[float]] = defaultdict(list)
    with suppress(IndexError):  # another thread may take the rest
        while True:
            metric, labels, amount = _deferred.popleft()
            amounts[metric, labels].append(amount)
    for (metric, labels), values in amounts.items():
        series = metric.labels(*labels) if labels else metric
        if isinstance(series, Histogram):
            observe_all(series, values)
        else:
            series.inc(sum(values))
    for gauge, value in _gauges:
        gauge.set(value())


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """Do the same as `histogram.observe` of each value, with one write for each bucket."""
    histogram._sum.inc(sum(values))
    for bucket, count in Counts(bisect_left(histogram._upper_bounds, value) for value in values).items():
        histogram._buckets[bucket].inc(count)


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
