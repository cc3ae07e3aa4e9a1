"""Metrics: what they cost a request, and what one value costs. `python -m bench metrics`."""

import subprocess
import sys
import tempfile
from itertools import repeat

from bench.scans_data import scan_requests, seed, sign_in
from bench.scans_load import saturate
from bench.stack import scaled, serving, stack
from bench.table import Figure, Table

ROUNDS, SECONDS, CONNECTIONS = 15, 1.5, 8
CALLS = 200_000
PROGRAM = """
import sys, time
from prometheus_client import Histogram
histogram = Histogram("bench_seconds", "Values.", ("route",), buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1))
calls = int(sys.argv[1])
started = time.perf_counter()
for _ in range(calls):
    histogram.labels("/scan").observe(0.02)
print((time.perf_counter() - started) / calls * 1e6)
"""
"""Time of an observation with its label, in microseconds."""


def main(scale: float = 1.0) -> list[Table]:
    """Measure alternating rounds with and without metrics, after one of each to warm up."""
    with stack(seed) as where:
        requests = scan_requests(sign_in(), "/scan")
        with (
            serving(where.data, "web", "web.app:create_app()") as with_metrics,
            serving(where.data, "web-off", "bench.metrics_off_web:create_app()") as without,
        ):

            def rate(port: int) -> float:
                return saturate(port, requests, connections=CONNECTIONS, seconds=SECONDS * scale)

            _, *rounds = [(rate(with_metrics), rate(without)) for _ in range(1 + ROUNDS)]
    calls = scaled(CALLS, scale)
    values = [(observe_us(calls, is_shared=True), observe_us(calls, is_shared=False)) for _ in repeat(None, 3)]
    return [
        Table(
            "Metrics",
            [
                Figure.of_rounds("accepted, against web without metrics", "requests/s", rounds, "≥", 0.97),
                Figure.of_rounds("observe() into a file, against memory", "µs", values, "≤", None),
            ],
        )
    ]


def observe_us(calls: int, *, is_shared: bool) -> float:
    """Return the time of one observation, in a process of its own, because its mode is chosen at the import."""
    with tempfile.TemporaryDirectory(prefix="waymark-bench-") as directory:
        environment = {"PROMETHEUS_MULTIPROC_DIR": directory} if is_shared else {}
        argv = [sys.executable, "-c", PROGRAM, str(calls)]
        return float(subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout)
