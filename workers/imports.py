"""Run pending imports: validate the rows of a file chunk by chunk, then add all codes at once.

Each chunk is a claim of its own, so the imports of organizations take turns after every thousand rows.
"""

from datetime import timedelta
from uuid import UUID

from shared.audit import store as audit
from shared.codes.store import generate_code_text
from shared.errors import QuotaExceeded
from shared.imports import commit, rules, staging, store
from shared.imports.csv_reader import CsvRow
from shared.imports.rules import ImportJob
from shared.infra import db, leases
from shared.infra.db import Conn
from shared.infra.logging import get_logger
from shared.messages import ImportsPending
from shared.settings import settings
from workers.broker import actor_for
from workers.jobs import JobRunner

log = get_logger()

CHUNK_SIZE = 1_000
CONCURRENT_IMPORTS = 2
"""In a process. Its other threads are left to renders, rollups and cleanup."""
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
    """Validate the next rows of an import, or add its codes if none is left. Other imports take turns in between."""
    (job,) = claimed
    # No transaction is open while the rows are validated: it would delay all events.
    with db.connection() as conn:
        store.start(conn, job.id)
        rows = staging.next_rows(conn, job.id, after=job.last_validated_line, limit=CHUNK_SIZE)
    if rows:
        _validate(job, rows, token)
    else:
        _finish(job, token)


def _validate(job: ImportJob, rows: list[CsvRow], token: UUID) -> None:
    results = [rules.validate_row(job.columns, row, generate_code_text) for row in rows]
    failed = sum(result.message is not None for result in results)
    with db.transaction() as conn:
        leases.lock_one(conn, store.PENDING_IMPORTS, token, job.id)
        staging.copy_candidates(conn, job.id, results)
        store.record_progress(conn, job.id, validated=len(rows), failed=failed, line=rows[-1].line)


def _finish(job: ImportJob, token: UUID) -> None:
    with db.connection() as conn:
        staging.analyze(conn)
    with db.transaction() as conn:
        leases.lock_one(conn, store.PENDING_IMPORTS, token, job.id)
        if added := _commit(conn, job):
            new = {"codes": added, "failed": job.total - added}
            audit.record_outcome(
                conn, "codes.imported", of="import.started", org_id=job.org_id, object_id=job.id, new=new
            )
    log.info("import_finished", import_id=str(job.id), total=job.total)


def _commit(conn: Conn, job: ImportJob) -> int:
    """Add the codes. If they do not fit the quota, fail the import with that message. Return how many were added."""
    try:
        with conn.transaction():
            return commit.commit(conn, job, max_codes=settings().max_codes_per_organization)
    except QuotaExceeded as error:
        store.finish(conn, job.id, "failed", f"{error} No code was added.")
        return 0


def dead_letter(token: UUID, claimed: list[ImportJob]) -> None:
    """Fail an import without attempts left. Its message and its row have the reason."""
    (job,) = claimed
    with db.transaction() as conn:
        leases.lock_one(conn, store.PENDING_IMPORTS, token, job.id)
        store.finish(conn, job.id, "failed", DEAD_LETTER_MESSAGE)
    log.error("import_dead_lettered", import_id=str(job.id))


imports = JobRunner(
    store.PENDING_IMPORTS,
    ImportsPending(),
    run,
    dead_letter,
    lease=lambda: LEASE,
    concurrency=CONCURRENT_IMPORTS,
    time_limit=TIME_LIMIT,
)
