"""CPU work beside gevent's event loop: in a process that gevent patched, as gunicorn's worker does."""

import os
import socket
import subprocess
import sys

import pytest

from script.stack.ports import LOOPBACK
from shared.infra import event_loop

PATCHED = "from gevent import monkey; monkey.patch_all()\n"
BLOCKING = """
import gevent, os, sys, time
from gevent.monkey import get_original
from shared.infra import event_loop

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

def work():
    get_original("time", "sleep")(0.2)  # as a library does that releases the interpreter's lock
    return os.getpriority(os.PRIO_PROCESS, 0) - os.getpriority(os.PRIO_PROCESS, os.getpid())

gevent.spawn(tick)
gevent.sleep(0)
print(getattr(event_loop, sys.argv[1])(work) if sys.argv[1] != "none" else work(), ticks > 10)
"""
IMPORTS = """
from psycopg import waiting
print(waiting.wait is waiting.wait_poll)
"""


def run(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("function", "expected"),
    [("run_in_thread", "0 True"), ("run_in_background_thread", "15 True"), ("none", "0 False")],
    ids=["foreground", "background", "negative control"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
@pytest.mark.skipif(os.getpriority(os.PRIO_PROCESS, 0) > 4, reason="this process has a low priority itself")
def test_event_loop_goes_on_while_a_thread_works(function: str, expected: str) -> None:
    assert run(PATCHED + BLOCKING, function) == expected


def test_errors_of_the_work_are_raised() -> None:
    program = """
from shared.infra import event_loop
try:
    event_loop.run_in_thread(lambda: 1 / 0)
except ZeroDivisionError:
    print("raised")
"""
    assert run(PATCHED + program) == run(program) == "raised"


@pytest.mark.parametrize(("patch", "expected"), [(PATCHED, "True"), ("", "False")], ids=["gevent", "threads"])
def test_psycopg_waits_on_the_event_loop(patch: str, expected: str) -> None:
    assert run(patch + IMPORTS) == expected


def test_work_runs_where_priorities_are_forbidden() -> None:
    program = """
import os
import socket
def forbidden(*_): raise PermissionError
os.setpriority = forbidden
from shared.infra import event_loop
print(event_loop.run_in_background_thread(lambda: "done"))
"""
    assert run(PATCHED + program) == "done"


def test_without_gevent_work_runs_in_the_calling_thread() -> None:
    assert event_loop.run_in_thread(lambda: list(event_loop.yielding(range(250)))) == list(range(250))
    assert "gevent" not in run(
        "import sys; from shared.infra import event_loop; event_loop.run_in_thread(int); print(*sys.modules)"
    )


DNS = """
import gevent, psycopg

class SlowResolver:
    def getaddrinfo(self, *_arguments):
        gevent.sleep(0.1)
        raise OSError("unknown")

gevent.get_hub().resolver = SlowResolver()
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

gevent.spawn(tick)
try:
    psycopg.connect("postgresql://postgres.invalid/waymark")
except psycopg.OperationalError:
    print(ticks > 10)
"""


def test_event_loop_goes_on_while_the_name_of_postgresql_is_resolved() -> None:
    """libpq would block in its own lookup."""
    assert run(PATCHED + DNS) == "True"


YIELDING = """
import gevent, time
from gevent.monkey import get_original
from shared.infra.event_loop import yielding

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0)

gevent.spawn(tick)
for _ in yielding(range(5)):
    get_original("time", "sleep")(0.005)
print(ticks >= 4)
"""


def test_event_loop_goes_on_between_long_items() -> None:
    assert run(PATCHED + YIELDING) == "True"


GRPC = """
import gevent, grpc
from shared.quests import grpc_channel, quest_pb2

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

gevent.spawn(tick)
try:
    grpc_channel.call("GetAllQuests", quest_pb2.QuestListRequest())
except grpc.RpcError:
    print(ticks > 10)
"""


def test_event_loop_goes_on_while_the_quest_catalog_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        monkeypatch.setenv("GRPC_SERVER_URL", f"{LOOPBACK}:{silent.getsockname()[1]}")
        monkeypatch.setenv("GRPC_DEADLINE_SECONDS", "0.5")
        assert run(PATCHED + GRPC) == "True"
