"""Rollups: add new verdicts and visits to the counts, one batch at a time.

The scheduler sends a message every few seconds. `waymark analytics rebuild` rebuilds them by hand.
"""

import time
from datetime import date, timedelta

from shared.analytics import cache_versions, rollup
from shared.analytics import rebuild as rebuilding
from shared.analytics.rebuild import RebuildTarget
from shared.analytics.rollup_queries import END_DAY, FIRST_DAY
from shared.infra import db, event_log
from shared.infra.logging import get_logger
from shared.infra.message_sender import background_sender
from shared.infra.metrics import Counter, Histogram
from shared.messages import RollUp
from workers.broker import actor_for, worker_lifecycle
from workers.job_metrics import LAST_SUCCESS
from workers.time_limits import ACTOR_SECONDS, time_limits

log = get_logger()

BATCH = 3_000
"""Events, or visits. A scan has two or three events."""
ROUNDS = 100
"""Batches per message. Then other messages of this worker process are handled."""
MIN_SLICE_SCANS, MAX_SLICE_SCANS = 2_000, 10_000
"""Scans in a slice of a rebuild. The next slice has more days after fewer scans, and fewer days after more."""
MAX_DAYS = 64

ROLLUP_ROWS = Counter("waymark_rollup_rows_total", "Rows added to the rollups, by log: events or visits.", ("log",))
ROLLUP_SECONDS = Histogram(
    "waymark_rollup_seconds",
    "Time to add a batch to the rollups.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


@actor_for(RollUp)
@time_limits.limit(ACTOR_SECONDS)
def roll_up() -> None:
    """Add all unaggregated events and visits to the rollups. Safe to run twice and side by side: one has the lock."""
    for _ in range(ROUNDS):
        if not roll_up_batch() or worker_lifecycle.stopping.is_set():
            return
    background_sender.submit(RollUp())


def roll_up_batch() -> bool:
    """Add a batch of events and a batch of visits to the rollups. Return whether there may be more."""
    time_limits.extend()
    started = time.perf_counter()
    with db.transaction() as conn:
        # A batch that a crash of PostgreSQL loses is added again, because its position is lost with it.
        conn.execute("SELECT set_config('synchronous_commit', 'off', true)")
        if not event_log.try_lock_positions(conn):
            return False
        scans = rollup.roll_up_scans(conn, limit=BATCH)
        visits = rollup.roll_up_visits(conn, limit=BATCH)
    ROLLUP_SECONDS.observe(time.perf_counter() - started)
    ROLLUP_ROWS.labels("events").inc(scans)
    ROLLUP_ROWS.labels("visits").inc(visits)
    LAST_SUCCESS.labels("rollup").set_to_current_time()
    if scans or visits:
        log.info("rollups_updated", events=scans, visits=visits)
    return BATCH in (scans, visits)


def rebuild(subjects: RebuildTarget) -> int:
    """Rebuild the rollups of these subjects, slice by slice. Return the number of scans in them."""
    # Each slice subtracts the unaggregated events, so fewer of them make it faster.
    while roll_up_batch():
        pass
    span, total, end = 1, 0, FIRST_DAY
    while not worker_lifecycle.stopping.is_set():
        with db.connection() as conn:
            first = rebuilding.next_day(conn, subjects, end)
        if first is None:
            break
        end = min(first + timedelta(days=span), END_DAY)
        scans = _replace(subjects, first, end)
        total += scans
        if scans > MAX_SLICE_SCANS:
            span = max(1, span // 2)
        elif scans < MIN_SLICE_SCANS:
            span = min(MAX_DAYS, 2 * span)
    with db.transaction() as conn:
        event_log.lock_positions(conn)
        rebuilding.delete_stale_players(conn, rebuilding.with_new_codes(conn, subjects))
        cache_versions.bump_version(conn, subjects.org_id)
    log.info("rollups_rebuilt", org_id=str(subjects.org_id), codes=len(subjects.code_ids), scans=total)
    return total


def _replace(subjects: RebuildTarget, first: date, end: date) -> int:
    with db.transaction() as conn:
        event_log.lock_positions(conn)
        subjects = rebuilding.with_new_codes(conn, subjects)
        rebuilding.rebuild_visits(conn, subjects, first, end)
        return rebuilding.rebuild_scans(conn, subjects, first, end)
