"""Metrics: what they cost a request, and what one value costs. `python -m bench metrics`."""

import subprocess
import sys
import tempfile
from itertools import repeat

import psutil

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
started = time.process_time()
for _ in range(calls):
    histogram.labels("/scan").observe(0.02)
print((time.process_time() - started) / calls * 1e6)
"""
"""CPU time of an observation with its label, in microseconds."""


def main(scale: float = 1.0) -> list[Table]:
    """Measure alternating rounds with and without metrics, after one of each to warm up."""
    with stack(seed) as where:
        requests = scan_requests(sign_in(), "/scan")
        with (
            serving(where.data, "web", "web.app:create_app()") as with_metrics,
            serving(where.data, "web-off", "bench.metrics_off_web:create_app()") as without,
        ):

            def accept(port: int) -> tuple[float, float]:
                """Return the requests per second, and the CPU time of the server for each, in milliseconds."""
                before = cpu_seconds(port)
                rate = saturate(port, requests, connections=CONNECTIONS, seconds=SECONDS * scale)
                answers = max(1.0, rate * SECONDS * scale)
                return rate, 1_000 * (cpu_seconds(port) - before) / answers

            _, *rounds = [(accept(with_metrics), accept(without)) for _ in range(1 + ROUNDS)]
    rates, times = ([(one[side], other[side]) for one, other in rounds] for side in (0, 1))
    calls = scaled(CALLS, scale)
    values = [(observe_us(calls, is_shared=True), observe_us(calls, is_shared=False)) for _ in repeat(None, 3)]
    return [
        Table(
            "Metrics",
            [
                Figure.of_rounds("accepted, against web without metrics", "requests/s", rates, "≥", 0.97),
                Figure.of_rounds("CPU time of the server for each", "ms", times, "≤", None),
                Figure.of_rounds("observe() into a file, against memory", "µs", values, "≤", None),
            ],
        )
    ]


def cpu_seconds(port: int) -> float:
    """Return the CPU time of the server on this port so far."""
    servers = [each for each in psutil.Process().children(recursive=True) if each.environ().get("PORT") == str(port)]
    return sum(sum(each.cpu_times()[:2]) for each in servers)


def observe_us(calls: int, *, is_shared: bool) -> float:
    """Return the time of one observation, in a process of its own, because its mode is chosen at the import."""
    with tempfile.TemporaryDirectory(prefix="waymark-bench-") as directory:
        environment = {"PROMETHEUS_MULTIPROC_DIR": directory} if is_shared else {}
        argv = [sys.executable, "-c", PROGRAM, str(calls)]
        return float(subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout)
