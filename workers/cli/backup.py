"""`waymark backup`, `backups`, `restore` and `drill`: copies of the database, and proof that they can be restored."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click
import psycopg

from shared.backup import drill as drills
from shared.backup import dump, operations_log
from shared.backup import restore as restores
from shared.backup.errors import BackupDamaged, BackupError
from shared.backup.manifest import Manifest, read
from shared.backup.targets import NAME_PATTERN, Target, target_of
from shared.infra import db
from shared.infra.storage.base import StorageError
from shared.settings import settings
from workers.cli.commands import Command, CommandError
from workers.cli.output import report, say, show_rows

TERMINATED = 143
"""The exit status after SIGTERM, as of a shell."""
COLUMNS = "name", "created_at", "rows", "bytes", "postgresql", "fault"
keep_option = click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Then delete all backups but the newest ones, and the newest one that passed a drill.",
)


@click.command(cls=Command)
@click.argument("target", required=False)
@keep_option
@click.option("--if-configured", is_flag=True, help="Do nothing without a TARGET and without BACKUP_TARGET.")
def backup(target: str | None, keep: int | None, if_configured: bool) -> None:
    """Create a backup of the database.

    TARGET is a directory or s3://bucket/prefix, by default BACKUP_TARGET. The service can run meanwhile.
    """
    if if_configured and not (target or settings().backup_target):
        report("No backup, because BACKUP_TARGET is not set.", backup=None)
        return
    place = target_of(_place(target))
    with _ending_in_order():
        created = dump.create(place, _show_step)
        pruned = _prune(place, keep, created.name)
    report(
        f"Created {created.name}: {sum(created.rows.values()):,} rows, {created.bytes:,} bytes.{_deleted(pruned)}",
        backup=created.name,
        created_at=created.created_at,
        rows=sum(created.rows.values()),
        bytes=created.bytes,
        deleted=pruned,
    )


@click.command(cls=Command, database=False)
@click.argument("target", required=False)
def backups(target: str | None) -> None:
    """List the complete backups in a target, oldest first."""
    place = target_of(_place(target))
    show_rows((_describe(place, name) for name in place.names()), empty="No backups")


@click.command(cls=Command)
@click.argument("backup")
@click.option("--jobs", type=click.IntRange(1, 64), default=restores.JOBS, show_default=True, help="Parallel jobs.")
def restore(backup: str, jobs: int) -> None:
    """Restore a backup into the empty database at DATABASE_URL.

    BACKUP is the directory or the URL of a backup, or a target: its newest backup. Run `python -m migrations`
    afterwards.
    """
    place, name = _find(backup)
    with _ending_in_order(), place.open(name) as directory:
        url = settings().direct_database_url.get_secret_value()
        restored = restores.restore(directory, url, jobs=jobs, report=_show_step)
    report(
        f"Restored {name} of {restored.created_at:%Y-%m-%d %H:%M:%SZ}: {sum(restored.rows.values()):,} rows. "
        "Next: python -m migrations.",
        backup=name,
        created_at=restored.created_at,
        rows=sum(restored.rows.values()),
    )


@click.command(cls=Command)
@click.argument("backup", required=False)
@keep_option
def drill(backup: str | None, keep: int | None) -> None:
    """Prove that a backup can be restored, and record the result.

    BACKUP is the directory or the URL of a backup, or a target: its newest backup. The drill restores it into a
    database `waymark_drill` on the server of BACKUP_DRILL_URL, checks the data, and drops that database.
    """
    place, name = _find(_place(backup))
    with _ending_in_order():
        with place.open(name) as directory:
            try:
                passed = drills.drill(directory, settings().drill_server_url.get_secret_value(), _show_step)
            except BackupDamaged as damage:
                _record(read(directory), passed=False, detail=str(damage))
                raise
        _record(passed.backup, passed=True)
        pruned = _prune(place, keep, name)
    report(
        f"{name} passed: {sum(passed.backup.rows.values()):,} rows, {passed.quest_states:,} quest states, rollups of "
        f"{passed.rollup_day or 'no day'}.{_deleted(pruned)}",
        backup=name,
        created_at=passed.backup.created_at,
        deleted=pruned,
    )


def _describe(place: Target, name: str) -> dict[str, object]:
    """Describe a backup by its manifest. One that cannot be read does not hide the others."""
    try:
        backup = place.manifest(name)
    except (BackupError, StorageError, OSError) as error:
        return dict.fromkeys(COLUMNS) | {"name": name, "fault": str(error)}
    values = (name, backup.created_at, sum(backup.rows.values()), backup.bytes, backup.server_version // 10_000, None)
    return dict(zip(COLUMNS, values, strict=True))


def _place(given: str | None) -> str:
    place = given or settings().backup_target
    if place is None:
        raise CommandError("Name a directory or s3://bucket/prefix, or set BACKUP_TARGET.")
    return place


def _find(place: str) -> tuple[Target, str]:
    """Return the target and the name of a backup, or of the newest backup of a target."""
    parent, _, last = place.rstrip("/").rpartition("/")
    if NAME_PATTERN.fullmatch(last):
        return target_of(parent or ("/" if place.startswith("/") else ".")), last
    target = target_of(place)
    names = target.names()
    if not names:
        raise CommandError(f"{place} has no complete backup.")
    return target, names[-1]


def _record(backup: Manifest, *, passed: bool, detail: str = "") -> None:
    try:
        with db.connection() as conn:
            operations_log.record(conn, "drill", backup, passed=passed, detail=detail)
    except psycopg.Error as error:
        say(f"The result was not recorded: {db.describe(error)}")


def _show_step(sentence: str) -> None:
    """Show what the command does now, on a terminal only: it may take hours."""
    if sys.stderr.isatty():
        say(sentence)


def _prune(place: Target, keep: int | None, current: str) -> list[str]:
    """Delete old backups. Spare the one of this command, and the newest one of which a drill proved that it is good."""
    if keep is None:
        return []
    with db.connection() as conn:
        proven = operations_log.newest_proven(conn, place.names())
    return dump.prune(place, keep, spared=[current, proven or current])


def _deleted(names: list[str]) -> str:
    return f" Deleted {len(names)} older {'backup' if len(names) == 1 else 'backups'}." if names else ""


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the command as an exception does, so that no draft and no scratch database remains."""

    def end(_number: int, _frame: FrameType | None) -> None:
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
