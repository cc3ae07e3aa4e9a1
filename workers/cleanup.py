"""Forget what has outlived its retention, in batches that hold no lock for long.

Hourly by the scheduler; by hand with `python -m workers.cli.cleanup`, which prints its report.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from shared.accounts import sessions
from shared.generated_codes import store as generated
from shared.imports import store as imports
from shared.infra import db, event_log, idempotency
from shared.infra.db import Conn
from shared.infra.logging import get_logger
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.messages import CleanUp
from shared.renders import store as renders
from shared.renders.rules import is_file_needed, render_id_of
from shared.settings import settings
from shared.visits import store as visits
from workers.broker import actor_for, worker_lifecycle

log = get_logger()

BATCH = 5_000
RENDERS_BATCH = 20  # each with its chunks
DRAFT_RETENTION = timedelta(days=1)
CODES_BATCH = 500  # each with its pictures
IMPORTS_BATCH = 500  # each with its outcome


@dataclass(frozen=True)
class CleanupReport:
    """How many rows of each kind were removed, and the bytes of the pictures among them."""

    generated_codes: int
    generated_image_bytes: int
    generated_tombstones: int
    imports: int
    events: int
    render_files: int
    renders: int
    visits: int
    sessions: int
    idempotency_keys: int

    def __str__(self) -> str:
        return "\n".join(f"{name.replace('_', ' '):24}{n:>12,}" for name, n in asdict(self).items())


@actor_for(CleanUp)
def clean_up() -> None:
    """Delete what is over. Harmless to run twice or side by side."""
    log.info("cleanup_finished", **asdict(purge_all()))


def purge_all() -> CleanupReport:
    """Delete expired codes with their pictures, and whatever else has outlived its retention."""
    now = datetime.now(UTC)
    oldest = now - timedelta(days=settings().event_retention_days)
    oldest_day = (now - timedelta(days=settings().visit_retention_days)).date()
    codes, image_bytes = _purge_generated_codes()
    return CleanupReport(
        generated_codes=codes,
        generated_image_bytes=image_bytes,
        generated_tombstones=_in_batches(lambda conn, limit: generated.purge_tombstones(conn, limit=limit), BATCH),
        imports=_in_batches(lambda conn, limit: imports.purge(conn, limit=limit), IMPORTS_BATCH),
        events=_in_batches(lambda conn, limit: event_log.forget(conn, before=oldest, limit=limit), BATCH),
        render_files=_delete_unneeded_files(),
        renders=_in_batches(lambda conn, limit: renders.purge(conn, limit=limit), RENDERS_BATCH),
        visits=_in_batches(lambda conn, limit: visits.forget(conn, before=oldest_day, limit=limit), BATCH),
        sessions=_in_batches(lambda conn, limit: sessions.purge_sessions(conn, limit=limit), BATCH),
        idempotency_keys=_in_batches(lambda conn, limit: idempotency.purge(conn, limit=limit), BATCH),
    )


def _purge_generated_codes() -> tuple[int, int]:
    """Delete generated codes past their expiry. Returns how many, and how many bytes their pictures had."""
    image_bytes = 0

    def forget(conn: Conn, limit: int) -> int:
        nonlocal image_bytes
        removed = generated.purge_expired(conn, limit=limit)
        image_bytes += removed.image_bytes
        return removed.codes

    return _in_batches(forget, CODES_BATCH), image_bytes


def _delete_unneeded_files() -> int:
    """Remove every file that no render needs: expired, left over, or nobody's. Returns how many.

    They are listed before their renders are looked up, so that what was written meanwhile is not taken for nobody's.
    """
    gone = 0
    try:
        listed = (name for name, _ in storage().list_files("renders/"))
        while names := list(islice(listed, BATCH)):
            known = {name: render_id_of(name) for name in names}
            with db.connection() as conn:
                found = renders.get_many(conn, {render_id for render_id in known.values() if render_id is not None})
            for name, render_id in known.items():
                if render_id is not None and not is_file_needed(name, found.get(render_id)):
                    storage().delete(name)
                    gone += 1
    except StorageError as error:
        log.warning("file_cleanup_failed", error=str(error))
    try:  # by itself: whoever may delete files may not be allowed to list uploads
        gone += storage().purge_drafts(datetime.now(UTC) - DRAFT_RETENTION)
    except StorageError as error:
        log.warning("draft_cleanup_failed", error=str(error))
    return gone


def _in_batches(delete: Callable[[Conn, int], int], batch: int) -> int:
    """Run a delete until it finds less than a batch, each in its own transaction. Returns how many rows went."""
    total = 0
    while not worker_lifecycle.stopping.is_set():
        with db.connection() as conn:
            gone = delete(conn, batch)
        total += gone
        if gone < batch:
            break
    return total
