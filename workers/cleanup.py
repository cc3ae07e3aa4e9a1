"""Purge rows and files whose retention has ended, in batches that hold no lock for long.

The scheduler sends the message hourly. `waymark cleanup` does the same and prints the report.
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
from shared.infra.metrics import Counter
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.messages import CleanUp
from shared.organizations import closing, invitations
from shared.redemptions import store as redemptions
from shared.renders import erasure as render_erasure
from shared.renders import store as renders
from shared.renders.rules import is_file_needed, render_id_of
from shared.scans import positions
from shared.scans.judging_limits import from_settings
from shared.scans.travel import position_lifetime
from shared.settings import settings
from shared.visits import store as visits
from workers.broker import actor_for, worker_lifecycle
from workers.job_metrics import LAST_SUCCESS
from workers.organizations import erase_closed
from workers.time_limits import ACTOR_SECONDS, time_limits

log = get_logger()

BATCH_SIZE = 5_000
RENDERS_BATCH_SIZE = 20
"""Each render is deleted with its chunks."""
CODES_BATCH_SIZE = 500
"""Each code is deleted with its images."""
IMPORTS_BATCH_SIZE = 500
"""Each import is deleted with its outcomes."""
POSITIONS_BATCH_SIZE = 1_000
"""Each cleared position rewrites a scan and its index entries: about 2 MB of WAL, so that replicas keep up."""
DRAFT_RETENTION = timedelta(days=1)
MAX_COUNTED = 100_000
"""A dry run counts no further, because it writes what it rolls back."""
Batches = Callable[[Callable[[Conn, int], int], int], int]
"""Runs a delete or an update with a batch size, and returns how many rows it changed or would change."""
REMOVED = Counter(
    "waymark_cleanup_removed_total",
    "Rows and files, by kind, whose retention has ended.",
    ("kind",),
)


@dataclass(frozen=True)
class CleanupReport:
    """The numbers of deleted rows, files and positions, and the size of the deleted generated images."""

    organizations: int
    positions: int
    generated_codes: int
    generated_image_bytes: int
    generated_tombstones: int
    imports: int
    events: int
    render_files: int
    renders: int
    visits: int
    sessions: int
    invitations: int
    redemption_tokens: int
    idempotency_keys: int

    def __str__(self) -> str:
        return "\n".join(f"{name.replace('_', ' '):24}{count:>12,}" for name, count in asdict(self).items())


@actor_for(CleanUp)
@time_limits.limit(ACTOR_SECONDS)
def clean_up() -> None:
    """Purge everything whose retention has ended. Safe to run twice and side by side."""
    removed = asdict(purge_all())
    for kind, count in removed.items():
        REMOVED.labels(kind).inc(count)
    LAST_SUCCESS.labels("cleanup").set_to_current_time()
    log.info("cleanup_finished", **removed)


def purge_all(*, dry_run: bool = False) -> CleanupReport:
    """Delete expired generated codes, and every other row and file whose retention has ended.

    A dry run counts them, up to MAX_COUNTED of each kind. It leaves out abandoned uploads.
    """
    in_batches = _count if dry_run else _delete
    now = datetime.now(UTC)
    first_event = now - timedelta(days=settings().event_retention_days)
    first_visit_day = (now - timedelta(days=settings().visit_retention_days)).date()
    # Before the files: those of erased renders are then deleted.
    organizations = _count_due_organizations() if dry_run else erase_closed()
    codes, image_bytes = _purge_generated_codes(in_batches)
    return CleanupReport(
        organizations=organizations,
        positions=_clear_positions(in_batches),
        generated_codes=codes,
        generated_image_bytes=image_bytes,
        generated_tombstones=in_batches(lambda conn, limit: generated.purge_tombstones(conn, limit=limit), BATCH_SIZE),
        imports=in_batches(lambda conn, limit: imports.purge(conn, limit=limit), IMPORTS_BATCH_SIZE),
        events=in_batches(lambda conn, limit: event_log.purge(conn, before=first_event, limit=limit), BATCH_SIZE),
        render_files=_delete_unneeded_files(dry_run=dry_run),
        renders=in_batches(lambda conn, limit: render_erasure.purge(conn, limit=limit), RENDERS_BATCH_SIZE),
        visits=in_batches(lambda conn, limit: visits.purge(conn, before=first_visit_day, limit=limit), BATCH_SIZE),
        sessions=in_batches(lambda conn, limit: sessions.purge_sessions(conn, limit=limit), BATCH_SIZE),
        invitations=in_batches(lambda conn, limit: invitations.purge(conn, limit=limit), BATCH_SIZE),
        redemption_tokens=in_batches(lambda conn, limit: redemptions.purge_tokens(conn, limit=limit), BATCH_SIZE),
        idempotency_keys=in_batches(lambda conn, limit: idempotency.purge(conn, limit=limit), BATCH_SIZE),
    )


def _count_due_organizations() -> int:
    with db.connection() as conn:
        return len(closing.list_due(conn))


def _clear_positions(in_batches: Batches) -> int:
    """Clear positions of scans whose retention has ended. Return how many."""
    limits = from_settings(settings())
    needed = position_lifetime(limits)
    return in_batches(
        lambda conn, limit: positions.clear(conn, needed=needed, max_age=limits.max_age, limit=limit),
        POSITIONS_BATCH_SIZE,
    )


def _purge_generated_codes(in_batches: Batches) -> tuple[int, int]:
    """Delete expired generated codes. Return how many, and how many bytes their images had."""
    image_bytes = 0

    def purge(conn: Conn, limit: int) -> int:
        nonlocal image_bytes
        result = generated.purge_expired(conn, limit=limit)
        image_bytes += result.image_bytes
        return result.codes

    return in_batches(purge, CODES_BATCH_SIZE), image_bytes


def _delete_unneeded_files(*, dry_run: bool) -> int:
    """Delete the files that no render needs, and abandoned uploads. Return how many. A dry run counts the files."""
    deleted = 0
    try:
        # Files are listed before their renders are read: a file that is written meanwhile is not deleted.
        listed = (name for name, _ in storage().list_files("renders/"))
        while names := list(islice(listed, BATCH_SIZE)):
            time_limits.extend()
            render_ids = {name: render_id for name in names if (render_id := render_id_of(name)) is not None}
            with db.connection() as conn:
                known = renders.get_many(conn, set(render_ids.values()))
            for name, render_id in render_ids.items():
                if not is_file_needed(name, known.get(render_id)):
                    if not dry_run:
                        storage().delete(name)
                    deleted += 1
    except StorageError as error:
        log.warning("file_cleanup_failed", error=str(error))
    if dry_run:
        return deleted
    # Separate: credentials that may delete files may not be allowed to list uploads.
    try:
        deleted += storage().purge_drafts(datetime.now(UTC) - DRAFT_RETENTION)
    except StorageError as error:
        log.warning("draft_cleanup_failed", error=str(error))
    return deleted


def _delete(delete: Callable[[Conn, int], int], batch_size: int) -> int:
    """Run a delete or an update, each time in its own transaction, until a batch is not full. Return the sum."""
    total = 0
    while not worker_lifecycle.stopping.is_set():
        time_limits.extend()
        with db.connection() as conn:
            deleted = delete(conn, batch_size)
        total += deleted
        if deleted < batch_size:
            break
    return total


def _count(delete: Callable[[Conn, int], int], batch_size: int) -> int:
    """Return how many rows a delete or an update would change. It runs in a transaction that is rolled back."""
    total = 0
    with db.transaction() as conn, conn.transaction(force_rollback=True):
        while total < MAX_COUNTED:
            changed = delete(conn, batch_size)
            total += changed
            if changed < batch_size:
                break
    return total
