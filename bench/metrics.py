"""Metrics: what they cost a request, and what one value costs. `python -m bench metrics`."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from http.client import HTTPConnection
from itertools import repeat

import psutil

from bench.metrics_web import OFF, ON
from bench.scans_data import scan_requests, seed, sign_in
from bench.scans_load import saturate
from bench.stack import scaled, serving, stack
from bench.table import Figure, Round, Table
from script.stack.ports import LOOPBACK

GROUPS, SECONDS, CONNECTIONS = 50, 0.8, 8
ORDER = (ON, OFF, OFF, ON)
"""The rounds of one group. A rate that rises or falls evenly does not change its ratio."""
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
    """Measure groups of rounds with and without metrics, after one group to warm up."""
    with stack(seed) as where:
        requests = scan_requests(sign_in(), "/scan")
        with serving(where.data, "web", "bench.metrics_web:create_app()") as port:

            def accept(path: str) -> tuple[float, float]:
                """Return the requests per second, and the CPU time of the server for each, in milliseconds."""
                switch(port, path)
                before = cpu_seconds(port)
                rate = saturate(port, requests, connections=CONNECTIONS, seconds=SECONDS)
                return rate, 1_000 * (cpu_seconds(port) - before) / max(1.0, rate * SECONDS)

            _, *groups = [[accept(path) for path in ORDER] for _ in range(1 + scaled(GROUPS, scale, minimum=3))]
    rates, times = ([means([figures[kind] for figures in group]) for group in groups] for kind in (0, 1))
    observe = partial(observe_us, scaled(CALLS, scale))
    values = [(observe(is_shared=True), observe(is_shared=False)) for _ in repeat(None, 3)]
    return [
        Table(
            "Metrics",
            [
                Figure.of_pairs("accepted, against the same process without metrics", "requests/s", rates, "≥", 0.97),
                Figure.of_pairs("CPU time of the server for each", "ms", times, "≤", 1.02),
                Figure.of_rounds("observe() into a file, against memory", "µs", values, "≤", None),
            ],
        )
    ]


def switch(port: int, path: str) -> None:
    """Turn metrics on or off."""
    connection = HTTPConnection(LOOPBACK, port, timeout=15)
    connection.request("GET", path)
    assert connection.getresponse().status == 200
    connection.close()


def means(group: Sequence[float]) -> Round:
    """Return the means of the rounds with and without metrics."""
    first, second, third, fourth = group
    return (first + fourth) / 2, (second + third) / 2


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
