"""Heartbeats of loops, and those that are stale."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.infra import heartbeats
from shared.infra.heartbeats import Heartbeat, stale_heartbeats
from shared.settings import settings


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(heartbeats, "_own_directory", [])
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEARTBEAT_DIR", str(tmp_path))
    settings.cache_clear()
    return tmp_path


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def use_setting() -> None:
    """Write the heartbeats to HEARTBEAT_DIR itself."""


@pytest.mark.parametrize("prepare", [use_setting, heartbeats.use_own_directory])
def test_loop_that_stopped_is_stale(directory: Path, prepare: Callable[[], None]) -> None:
    prepare()
    for name in ("relay", "scheduler"):
        Heartbeat(name).beat()
    assert stale_heartbeats() == []

    (stopped,) = directory.rglob(f"relay-{os.getpid()}")
    age(stopped, heartbeats.LIMIT_SECONDS + 1)

    assert stale_heartbeats() == [f"relay-{os.getpid()}"]
    assert stale_heartbeats(limit_seconds=1_000) == []
    Heartbeat("relay").beat()
    assert stale_heartbeats() == []


def test_process_that_starts_no_loop_is_stale_after_the_limit(directory: Path) -> None:
    assert stale_heartbeats() == []
    age(directory, heartbeats.LIMIT_SECONDS + 1)
    assert stale_heartbeats() == [directory.name]


def test_files_of_an_earlier_process_do_not_count(directory: Path) -> None:
    left = directory / "relay-1"
    left.touch()
    age(left, 1_000)
    assert stale_heartbeats() == ["relay-1"]

    heartbeats.use_own_directory()
    Heartbeat("relay").beat()

    assert stale_heartbeats() == []


def test_forks_share_the_directory_of_their_parent() -> None:
    heartbeats.use_own_directory()
    directory = heartbeats._directory()
    assert directory is not None
    if (pid := os.fork()) == 0:
        Heartbeat("worker").beat()
        heartbeats._remove(directory, pid=0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert [path.name for path in directory.iterdir()] == [f"worker-{pid}"]
    assert stale_heartbeats() == []
    heartbeats._remove(directory, os.getpid())
    assert not directory.exists()


def test_heartbeats_without_a_directory_are_not_written() -> None:
    Heartbeat("relay").beat()
    with pytest.raises(LookupError):
        stale_heartbeats()
