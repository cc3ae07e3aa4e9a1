"""The measurement of the machine before benchmarks, and the load at which they do not run."""

import pytest

from bench import machine
from bench.machine import Machine


@pytest.mark.parametrize(("percent", "is_too_busy"), [(0.0, False), (20.0, False), (20.1, True), (100.0, True)])
def test_benchmarks_do_not_run_above_20_percent(percent: float, is_too_busy: bool) -> None:
    assert (machine.busy_problem(percent) is not None) == is_too_busy


def test_problem_names_the_load_the_limit_and_the_option() -> None:
    problem = machine.busy_problem(43.2)
    assert problem is not None
    for part in ("43 %", "20 %", "--anyway"):
        assert part in problem


def test_machine_is_printed_in_one_line() -> None:
    assert str(Machine(cores=2, busy_percent=12.0, commit_ms=1.234, ping_ms=0.0512)) == (
        "Machine: 2 cores, 88 % idle before the run, insert + commit 1.23 ms, ping 0.051 ms"
    )


@pytest.mark.system
def test_commits_and_pings_are_measured_on_stores_of_their_own() -> None:
    measured = machine.measure(5.0)
    assert measured.commit_ms > 0
    assert measured.ping_ms > 0
    assert measured.busy_percent == 5.0
