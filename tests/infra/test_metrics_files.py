"""The directories of process types: one each, none left behind, and none in another user's hands."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.infra import metrics_files
from shared.settings import SettingsError, settings


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (metrics_files.DIRECTORY_VARIABLE, metrics_files.MULTIPROCESS_VARIABLE):
        monkeypatch.setenv(name, "")


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """METRICS_DIR."""
    monkeypatch.setenv("METRICS_DIR", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()


def test_leader_and_its_children_share_a_directory(parent: Path) -> None:
    path = metrics_files.create("worker", os.getpid(), is_shared=True)
    (path / "counter_1.db").touch()

    assert metrics_files.create("worker", os.getpid(), is_shared=True) == path
    assert {file.name for file in path.iterdir()} == {"counter_1.db", metrics_files.HEARTBEATS}
    assert path.parent == parent
    assert os.environ[metrics_files.MULTIPROCESS_VARIABLE] == str(path)


def test_directory_of_an_ended_leader_is_removed(parent: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ended = metrics_files.create("relay", other.pid, is_shared=False)
        own = metrics_files.create("worker", os.getpid(), is_shared=False)
        assert {ended, own} == set(parent.iterdir())
        other.communicate(b"\n")
    # A later process can have the same id, but not the same start.
    reused = parent / f"catalog-{os.getpid()}-1"
    unrelated = parent / "lost+found"
    reused.mkdir()
    unrelated.mkdir()

    metrics_files.create("worker", os.getpid(), is_shared=False)

    assert {own, unrelated} == set(parent.iterdir())


def test_only_live_gauges_of_an_ended_process_are_removed(parent: Path) -> None:
    path = metrics_files.create("web", os.getpid(), is_shared=True)
    for name in ("counter_7.db", "gauge_livesum_7.db", "gauge_livemax_7.db", "gauge_livesum_77.db", "histogram_7.db"):
        (path / name).touch()

    metrics_files.remove_live_gauges(7)

    assert {file.name for file in path.glob("*.db")} == {"counter_7.db", "gauge_livesum_77.db", "histogram_7.db"}


@pytest.mark.parametrize("prepare", ["link", "open"])
def test_temporary_directory_of_another_user_is_refused(
    prepare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user could otherwise choose which files this process writes to, or forge its metrics."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    expected = tmp_path / f"waymark-metrics-{os.getuid()}"
    if prepare == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        expected.symlink_to(tmp_path / "elsewhere")
    else:
        expected.mkdir()
        expected.chmod(0o777)

    with pytest.raises(SettingsError, match="METRICS_DIR"):
        metrics_files.create("web", os.getpid(), is_shared=True)

    # Negative control.
    expected.unlink() if prepare == "link" else expected.rmdir()
    assert metrics_files.create("web", os.getpid(), is_shared=True).parent == expected
    assert expected.stat().st_mode & 0o777 == 0o700
