"""Run pending imports: validate the rows of a file chunk by chunk, then add all codes at once."""

from datetime import timedelta
from uuid import UUID

from shared.audit import store as audit
from shared.codes.store import generate_code_text
from shared.imports import commit, rules, staging, store
from shared.imports.rules import ImportJob
from shared.infra import db, leases
from shared.infra.logging import get_logger
from shared.messages import ImportsPending
from workers.broker import actor_for, worker_lifecycle
from workers.jobs import JobRunner

log = get_logger()

CHUNK_SIZE = 1_000
LEASE = timedelta(seconds=60)
"""Far longer than a chunk takes, even with puzzles of a mebibyte. Adding the codes may take longer: until that
transaction ends, the row is locked, and no worker claims it."""
TIME_LIMIT = timedelta(minutes=15)
"""For one chunk, and for adding up to 100,000 codes."""
DEAD_LETTER_MESSAGE = f"This import failed {store.PENDING_IMPORTS.max_attempts} times. No code was added."


@actor_for(ImportsPending)
def run_pending() -> None:
    """Run all pending imports."""
    imports.run_pending()


def run(token: UUID, claimed: list[ImportJob]) -> None:
    """Run an import to its end, from the line at which its last worker stopped."""
    (job,) = claimed
    with db.connection() as conn:
        store.start(conn, job.id)
    while _validate_chunk(job.id, token):
        if worker_lifecycle.stopping.is_set():
            with db.connection() as conn:
                leases.release_lease(conn, store.PENDING_IMPORTS, token)
            return
    with db.connection() as conn:
        staging.analyze(conn)
    with db.transaction() as conn:
        job = leases.renew_lease(conn, store.PENDING_IMPORTS, token, job.id, LEASE)
        if added := commit.commit(conn, job):
            new = {"codes": added, "failed": job.total - added}
            audit.record_outcome(
                conn, "codes.imported", of="import.started", org_id=job.org_id, object_id=job.id, new=new
            )
    log.info("import_finished", import_id=str(job.id), total=job.total)


def dead_letter(token: UUID, claimed: list[ImportJob]) -> None:
    """Fail an import without attempts left. Its message and its row have the reason."""
    (job,) = claimed
    with db.transaction() as conn:
        leases.lock_one(conn, store.PENDING_IMPORTS, token, job.id)
        store.finish(conn, job.id, added=False, message=DEAD_LETTER_MESSAGE)
    log.error("import_dead_lettered", import_id=str(job.id))


def _validate_chunk(import_id: UUID, token: UUID) -> bool:
    """Validate the next rows. Return False if there are none."""
    job = imports.heartbeat(token, import_id)
    # No transaction is open while the rows are validated: it would delay all events.
    with db.connection() as conn:
        rows = staging.next_rows(conn, import_id, after=job.last_validated_line, limit=CHUNK_SIZE)
    if not rows:
        return False
    results = [rules.validate_row(job.columns, row, generate_code_text) for row in rows]
    failed = sum(result.message is not None for result in results)
    with db.transaction() as conn:
        leases.renew_lease(conn, store.PENDING_IMPORTS, token, import_id, LEASE)
        staging.copy_candidates(conn, import_id, results)
        store.record_progress(conn, import_id, validated=len(rows), failed=failed, line=rows[-1].line)
    return True


imports = JobRunner(
    store.PENDING_IMPORTS, ImportsPending(), run, dead_letter, lease=lambda: LEASE, time_limit=TIME_LIMIT
)
