"""The nightly backup: due once after its hour, repeated until it exists, and drilled once."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.backup import manifest, operations_log
from shared.backup.manifest import Manifest
from shared.backup.targets import name_prefix
from shared.infra.db import Conn
from shared.settings import settings
from workers import backup
from workers.broker import worker_lifecycle


@pytest.mark.parametrize(
    ("now", "hour", "due"),
    [
        ("2026-03-28T03:00:00", 3, "2026-03-28T03:00:00"),
        ("2026-03-28T02:59:59", 3, "2026-03-27T03:00:00"),
        ("2026-03-28T23:59:59", 0, "2026-03-28T00:00:00"),
        ("2026-03-01T00:00:00", 23, "2026-02-28T23:00:00"),
    ],
)
def test_last_due(now: str, hour: int, due: str) -> None:
    assert backup.last_due(at(now), hour) == at(due)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_backup(target: Path, created_at: datetime) -> Manifest:
    """Put an empty backup of this time into a directory."""
    name = f"{name_prefix(created_at)}-00ff"
    made = Manifest(
        name=name, created_at=created_at, migration="0001", server_version=180_000, rows={}, ledger_digest="0", files={}
    )
    (target / name).mkdir(parents=True)
    manifest.write(target / name, made)
    return made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture
def commands(target: Path, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that were run. They succeed, and are recorded."""
    found: list[str] = []

    def run(*arguments: str) -> bool:
        found.append(arguments[0])
        if arguments[0] == "backup":
            assert arguments[1:] == (f"{target}/",)
            operations_log.record(conn, "backup", make_backup(target, datetime.now(UTC)))
        else:
            assert arguments[2:] == ("--keep", "2")
            operations_log.record(conn, "drill", manifest.read(Path(arguments[1])))
        return True

    monkeypatch.setattr(backup, "run_command", run)
    changed = settings().model_copy(update={"backup_target": f"{target}/", "backup_keep": 2})
    monkeypatch.setattr(backup, "settings", lambda: changed)
    return found


NOW, YESTERDAY = timedelta(0), timedelta(hours=25)


@pytest.mark.parametrize(
    ("age", "drilled", "expected"),
    [
        (None, None, ["backup", "drill"]),
        (YESTERDAY, True, ["backup", "drill"]),
        (NOW, None, ["drill"]),
        (NOW, True, []),
        (NOW, False, []),
    ],
    ids=["first", "of the day before", "not drilled", "proven", "damaged"],
)
def test_due_steps_run(
    age: timedelta | None, drilled: bool | None, expected: list[str], commands: list[str], target: Path, conn: Conn
) -> None:
    if age is not None:
        made = make_backup(target, datetime.now(UTC) - age)
        operations_log.record(conn, "backup", made)
        if drilled is not None:
            operations_log.record(conn, "drill", made, passed=drilled)

    backup.back_up()
    backup.back_up()

    assert commands == expected


def test_backup_elsewhere_replaces_no_nightly_one(commands: list[str], tmp_path: Path, conn: Conn) -> None:
    """As the one before an upgrade."""
    operations_log.record(conn, "backup", make_backup(tmp_path / "elsewhere", datetime.now(UTC)))

    backup.back_up()

    assert commands == ["backup", "drill"]


def test_failed_backup_is_repeated_and_not_drilled(commands: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: str) -> bool:
        commands.append(arguments[0])
        return False

    monkeypatch.setattr(backup, "run_command", fail)

    backup.back_up()
    backup.back_up()

    assert commands == ["backup", "backup"]


def test_next_message_does_not_disturb_a_backup_of_hours(commands: list[str], conn: Conn) -> None:
    conn.execute("SELECT pg_advisory_lock(%s)", (backup.LOCK,))
    try:
        backup.back_up()
        assert commands == []
    finally:
        conn.execute("SELECT pg_advisory_unlock(%s)", (backup.LOCK,))
    backup.back_up()
    assert commands == ["backup", "drill"]


def test_unavailable_target_is_logged(commands: list[str], target: Path) -> None:
    target.write_text("not a directory")

    with capture_logs() as logs:
        backup.back_up()

    assert commands == []
    assert logs[0]["event"] == "backup_target_failed"
    assert str(target) in logs[0]["error"]


def test_no_target_means_no_backup(commands: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "settings", settings)

    backup.back_up()

    assert commands == []


def test_stopping_worker_ends_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "COMMAND", (sys.executable, "-c", "import time; time.sleep(600)"))
    monkeypatch.setattr(backup, "CHECK_SECONDS", 0.01)
    worker_lifecycle.stopping.set()
    try:
        assert backup.run_command("backup") is False
    finally:
        worker_lifecycle.stopping.clear()
