"""The nightly backup: due once after its hour, repeated until it exists, and drilled once."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.backup import operations_log
from shared.backup.manifest import Manifest
from shared.infra.db import Conn
from shared.settings import settings
from workers import backup
from workers.broker import worker_lifecycle

NAME = "waymark-20260328t030000z-00ff"


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


def manifest_of(created_at: datetime, name: str = NAME) -> Manifest:
    return Manifest(
        name=name, created_at=created_at, migration="0001", server_version=180_000, rows={}, ledger_digest="0", files={}
    )


@pytest.fixture
def commands(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that were run. They succeed, and are recorded."""
    found: list[tuple[str, ...]] = []

    def run(*arguments: str) -> bool:
        found.append(arguments)
        operation: operations_log.Operation = "backup" if arguments[0] == "backup" else "drill"
        operations_log.record(conn, operation, manifest_of(datetime.now(UTC)))
        return True

    monkeypatch.setattr(backup, "run_command", run)
    changed = settings().model_copy(update={"backup_target": "/backups/", "backup_keep": 2})
    monkeypatch.setattr(backup, "settings", lambda: changed)
    return found


CREATE, DRILL = ("backup", "/backups/"), ("drill", f"/backups/{NAME}", "--keep", "2")


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ([], [CREATE, DRILL]),
        ([("backup", timedelta(hours=25), True)], [CREATE, DRILL]),
        ([("backup", timedelta(0), True)], [DRILL]),
        ([("backup", timedelta(0), True), ("drill", timedelta(0), True)], []),
        ([("backup", timedelta(0), True), ("drill", timedelta(0), False)], []),
    ],
    ids=["first", "of the day before", "not drilled", "proven", "damaged"],
)
def test_due_steps_run(recorded: list[Any], expected: list[Any], commands: list[Any], conn: Conn) -> None:
    for operation, age, passed in recorded:
        operations_log.record(conn, operation, manifest_of(datetime.now(UTC) - age), passed=passed)

    backup.back_up()
    backup.back_up()

    assert commands == expected


def test_failed_backup_is_repeated_and_not_drilled(commands: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: str) -> bool:
        commands.append(arguments)
        return False

    monkeypatch.setattr(backup, "run_command", fail)

    backup.back_up()
    backup.back_up()

    assert commands == [CREATE, CREATE]


def test_no_target_means_no_backup(commands: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
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
