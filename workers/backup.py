"""The nightly backup: create it when it is due, then prove it by a drill. BACKUP_TARGET turns it on.

Each step is a process of the command line: a backup may take hours, and a worker that stops ends it in order.
"""

import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

from shared.backup import operations_log
from shared.backup.dump import connect
from shared.backup.errors import BackupError
from shared.backup.targets import name_prefix, target_of
from shared.infra import db
from shared.infra.db import exactly_one
from shared.infra.logging import get_logger
from shared.infra.storage.base import StorageError
from shared.messages import BackUp
from shared.settings import settings
from workers.broker import actor_for, worker_lifecycle
from workers.time_limits import ACTOR_SECONDS, time_limits

log = get_logger()

LOCK = crc32(b"waymark:nightly-backup")
CHECKOUT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "workers.cli")
CHECK_SECONDS = 1.0
SHOWN_CHARACTERS = 2_000


@actor_for(BackUp)
@time_limits.limit(ACTOR_SECONDS)
def back_up() -> None:
    """Create the backup of the last BACKUP_HOUR unless it exists, and drill it once. Safe to run twice."""
    target = settings().backup_target
    if target is None:
        return
    with connect(settings().direct_database_url.get_secret_value()) as conn:
        # A large backup and its drill take longer than the hour until the next message.
        if exactly_one(conn.execute("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK}))[0]:
            _back_up(target, last_due(datetime.now(UTC), settings().backup_hour))


def _back_up(target: str, due: datetime) -> None:
    try:
        name = find_since(target, due)
        if name is None and run_command("backup", target):
            name = find_since(target, due)
    except (BackupError, StorageError) as error:
        log.warning("backup_target_failed", error=str(error))
        return
    if name is None:
        return
    with db.connection() as conn:
        is_drilled = operations_log.has_drill(conn, name)
    if not is_drilled:
        run_command("drill", f"{target.rstrip('/')}/{name}", "--keep", str(settings().backup_keep))


def find_since(target: str, due: datetime) -> str | None:
    """Return the newest backup in the target that was made at this time or later, or None.

    The log of operations does not know the target: an operator may have made a backup elsewhere since then.
    """
    names = [name for name in target_of(target).names() if name >= name_prefix(due)]
    return names[-1] if names else None


def last_due(now: datetime, hour: int) -> datetime:
    """Return the last time at which the clock in UTC showed this hour."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def run_command(*arguments: str) -> bool:
    """Run a command of `waymark` and log its outcome. Return whether it succeeded; False if the worker stops."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            (*COMMAND, *arguments), cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            while process.poll() is None and not worker_lifecycle.stopping.wait(CHECK_SECONDS):
                time_limits.extend()
        finally:
            process.terminate()
            status = process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace").strip()[-SHOWN_CHARACTERS:]
    if status == 0:
        log.info("backup_command_finished", command=arguments[0], output=text)
    else:
        log.error("backup_command_failed", command=arguments[0], status=status, output=text)
    return status == 0
