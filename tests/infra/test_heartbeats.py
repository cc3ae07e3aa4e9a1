"""Heartbeats of loops, and those that are stale."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.infra import heartbeats, metrics_files
from shared.infra.heartbeats import Heartbeat, stale_heartbeats
from shared.settings import settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(metrics_files.DIRECTORY_VARIABLE, raising=False)
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HEARTBEAT_DIR."""
    path = tmp_path / "setting"
    path.mkdir()
    monkeypatch.setenv("HEARTBEAT_DIR", str(path))
    settings.cache_clear()
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a process that serves METRICS_PORT."""
    path = tmp_path / "own"
    (path / metrics_files.HEARTBEATS).mkdir(parents=True)
    monkeypatch.setenv(metrics_files.DIRECTORY_VARIABLE, str(path))
    return path / metrics_files.HEARTBEATS


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("used", ["directory", "own"])
def test_loop_that_stopped_is_stale(used: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue(used)
    for name in ("relay", "scheduler"):
        Heartbeat(name).beat()
    assert stale_heartbeats() == []

    age(directory / f"relay-{os.getpid()}", heartbeats.LIMIT_SECONDS + 1)

    assert stale_heartbeats() == [f"relay-{os.getpid()}"]
    assert stale_heartbeats(limit_seconds=1_000) == []
    Heartbeat("relay").beat()
    assert stale_heartbeats() == []


def test_process_that_starts_no_loop_is_stale_after_the_limit(directory: Path) -> None:
    assert stale_heartbeats() == []
    age(directory, heartbeats.LIMIT_SECONDS + 1)
    assert stale_heartbeats() == [directory.name]


def test_other_processes_with_the_setting_do_not_count(directory: Path, own: Path) -> None:
    left = directory / "relay-1"
    left.touch()
    age(left, 1_000)

    Heartbeat("relay").beat()

    assert stale_heartbeats() == []
    assert {path.name for path in directory.iterdir()} == {"relay-1", f"relay-{os.getpid()}"}
    assert [path.name for path in own.iterdir()] == [f"relay-{os.getpid()}"]


def test_heartbeats_without_a_directory_are_not_written() -> None:
    Heartbeat("relay").beat()
    with pytest.raises(LookupError):
        stale_heartbeats()
