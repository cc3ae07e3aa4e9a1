"""Time limits: a thread that hangs in C ends its process."""

import signal
import subprocess
import sys

import pytest

from script.stack.running_server import CHECKOUT


def run(mode: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.infra.hanging_process", mode]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("mode", ["gil", "no-gil"])
def test_a_thread_that_hangs_in_c_ends_its_process(mode: str) -> None:
    process = run(mode)

    assert (process.returncode, process.stdout) == (-signal.SIGALRM, "")
    assert "in work" in process.stderr, "the stack of the thread is printed"


def test_work_that_makes_progress_and_ends_in_time_is_not_stopped() -> None:
    process = run("in-time")

    assert (process.returncode, process.stdout, process.stderr) == (0, "done\n", "")
