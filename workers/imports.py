"""Importing codes: look at a file's rows chunk by chunk, then add all codes at once."""

from datetime import timedelta
from uuid import UUID, uuid4

import psycopg

from shared.audit import store as trail
from shared.codes.store import generate_code_text
from shared.imports import commit, leases, rules, staging, store
from shared.imports.rules import MAX_ATTEMPTS, ImportJob
from shared.infra import db
from shared.infra.leases import LeaseLost
from shared.infra.logging import get_logger
from shared.infra.message_sender import background_sender
from shared.messages import ImportsPending
from workers.broker import actor_for, worker_lifecycle

log = get_logger()

CHUNK = 1_000
LEASE = timedelta(seconds=60)
"""Far above what a chunk takes, also one of puzzles of a mebibyte. Adding may take longer: until it ends the import is
locked, and claimed by nobody."""
DEAD_LETTER_MESSAGE = f"It was set aside after {MAX_ATTEMPTS} attempts: nothing was added"


@actor_for(ImportsPending)
def run_pending() -> None:
    """Run every import there is, one after the other. Safe to run twice: one that is leased or over is not claimed
    again."""
    while not worker_lifecycle.stopping.is_set():
        if not (run_one() or set_aside()):
            return


def run_one() -> bool:
    """Run one import to its end, from where its last worker left it. Whether there was one."""
    token = uuid4()
    with db.connection() as conn:
        job = leases.claim(conn, token, LEASE)
    if job is None:
        return False
    if job.validated_rows == 0 and job.attempts == 1:
        background_sender.submit(ImportsPending())  # there may be another one, for another worker
    try:
        _run(job, token)
    except LeaseLost:
        log.warning("import_lease_lost", import_id=str(job.id))
    except psycopg.OperationalError as error:  # PostgreSQL went away
        log.warning("import_postponed", import_id=str(job.id), error=str(error))
        with db.connection() as conn:
            leases.give_back(conn, token)
        raise
    except Exception as error:
        log.warning("import_attempt_failed", import_id=str(job.id), attempt=job.attempts, exc_info=error)
        with db.connection() as conn:
            leases.suspect(conn, token, f"{type(error).__name__}: {error}"[:500])
    return True


def set_aside() -> bool:
    """Give up on an import that was tried too often. Whether there was one."""
    with db.transaction() as conn:
        import_id = leases.spent(conn)
        if import_id is not None:
            store.finish(conn, import_id, added=False, message=DEAD_LETTER_MESSAGE)
    if import_id is None:
        return False
    log.error("import_dead_lettered", import_id=str(import_id))
    return True


def _run(job: ImportJob, token: UUID) -> None:
    while _validate_chunk(job.id, token):
        if worker_lifecycle.stopping.is_set():
            with db.connection() as conn:
                leases.give_back(conn, token)
            return
    with db.connection() as conn:
        staging.analyze(conn)
    with db.transaction() as conn:
        held = leases.renew_lease(conn, job.id, token, LEASE)
        if codes := commit.commit(conn, held):
            new = {"codes": codes, "failed": held.total - codes}
            trail.record_outcome(
                conn, "codes.imported", of="import.started", org_id=job.org_id, object_id=job.id, new=new
            )
    log.info("import_finished", import_id=str(job.id), total=job.total)


def _validate_chunk(import_id: UUID, token: UUID) -> bool:
    """Look at the next rows. Whether there were any. No transaction is open meanwhile: the event log would wait."""
    with db.connection() as conn:
        job = leases.renew_lease(conn, import_id, token, LEASE)
        rows = staging.next_rows(conn, import_id, after=job.last_validated_line, limit=CHUNK)
    if not rows:
        return False
    judged = [rules.validate_row(job.columns, row, generate_code_text) for row in rows]
    failed = sum(one.message is not None for one in judged)
    with db.transaction() as conn:
        leases.renew_lease(conn, import_id, token, LEASE)
        staging.copy_candidates(conn, import_id, judged)
        leases.record_progress(conn, import_id, validated=len(rows), failed=failed, line=rows[-1].line)
    return True
