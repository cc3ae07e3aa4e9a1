"""How much metrics of this process grow."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY

from shared.infra import metrics


def value_of(metric: str, **labels: str) -> float:
    metrics.flush()
    return REGISTRY.get_sample_value(metric, labels) or 0.0


@contextmanager
def grows_by(amount: float, metric: str, **labels: str) -> Iterator[None]:
    """Assert that the metric with these labels grows by this amount meanwhile."""
    before = value_of(metric, **labels)
    yield
    assert value_of(metric, **labels) - before == amount, (metric, labels)
