"""The nightly backup: create it when it is due, then prove it by a drill. BACKUP_TARGET turns it on.

Each step is a process of the command line: a backup may take hours, and a worker that stops ends it in order.
"""

import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.backup import operations_log
from shared.infra import db
from shared.infra.logging import get_logger
from shared.messages import BackUp
from shared.settings import settings
from workers.broker import actor_for, worker_lifecycle
from workers.time_limits import ACTOR_SECONDS, time_limits

log = get_logger()

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
    due = last_due(datetime.now(UTC), settings().backup_hour)
    with db.connection() as conn:
        name = operations_log.last_backup(conn, due)
    if name is None:
        if not run_command("backup", target):
            return
        with db.connection() as conn:
            name = operations_log.last_backup(conn, due)
    with db.connection() as conn:
        is_drilled = name is None or operations_log.has_drill(conn, name)
    if not is_drilled:
        run_command("drill", f"{target.rstrip('/')}/{name}", "--keep", str(settings().backup_keep))


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
