"""Judging scans: claim what is pending, decide by rules, settle once."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import redis

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.logging import get_logger, log_many
from shared.infra.message_sender import background_sender
from shared.infra.pubsub_messages import VERDICTS_CHANNEL
from shared.infra.redis import client, key
from shared.messages import ScansPending
from shared.scans import rules, settlement
from shared.scans.judging_limits import from_settings
from shared.scans.rules import JudgingContext, JudgingLimits, Scan, Verdict
from shared.settings import settings
from workers.broker import actor_for, worker_lifecycle

log = get_logger()

BATCH = 400
ROUNDS = 100  # then let other messages of this worker have their turn


@actor_for(ScansPending)
def judge_pending() -> None:
    """Settle every pending scan there is. Safe to run twice: a scan that is leased or settled is not claimed again."""
    for round_ in range(ROUNDS):
        fresh = judge_new()
        if round_ == 0 and fresh == BATCH:
            background_sender.submit(ScansPending())  # there is work for another thread, here or elsewhere
        overdue = judge_retry() if fresh < BATCH or round_ % 10 == 0 else 0  # a backlog must not hide them
        if worker_lifecycle.stopping.is_set() or not (fresh == BATCH or overdue):
            return
    background_sender.submit(ScansPending())


def judge_new() -> int:
    """Judge up to a batch of scans that nobody has tried yet. Returns how many were claimed."""
    return _judge(lambda conn, token, lease: settlement.claim_fresh(conn, token, lease, limit=BATCH))


def judge_retry() -> int:
    """Judge one scan whose worker did not come back, by itself; or give up on those that were tried too often."""
    with db.connection() as conn:
        if not settlement.has_expired_leases(conn):
            return 0
    return _judge(settlement.claim_suspect) or set_aside()


def set_aside() -> int:
    """Give up on scans that were tried too often; they are shown to staff by their reason."""
    return _judge(
        lambda conn, token, lease: settlement.claim_spent(conn, token, lease, limit=BATCH),
        lambda scans, _context, _limits: {scan.id: Verdict("failure", "not_judged") for scan in scans},
    )


def _judge(
    claim: Callable[[Conn, UUID, timedelta], list[Scan]],
    decide: Callable[[list[Scan], JudgingContext, JudgingLimits], dict[UUID, Verdict]] = rules.judge_all,
) -> int:
    token = uuid4()
    with db.connection() as conn:
        scans = claim(conn, token, timedelta(seconds=settings().scan_lease_seconds))
    if not scans:
        return 0
    try:
        with db.transaction() as conn:
            ours = settlement.lock_scans(conn, token, scans)
            context = settlement.load_context(conn, ours)
            verdicts = decide(ours, context, from_settings(settings()))
            settlement.settle(conn, ours, verdicts)
    except settlement.StockChanged:
        with db.connection() as conn:
            settlement.give_back(conn, token)
        background_sender.submit(ScansPending())
        return len(scans)
    except psycopg.OperationalError as error:  # PostgreSQL went away, or a lock did not come in time
        log.warning("judging_postponed", scans=len(scans), error=str(error))
        with db.connection() as conn:
            settlement.give_back(conn, token)
        raise
    except Exception:
        with db.connection() as conn:
            settlement.suspect(conn, token)
        raise
    publish_verdicts(ours)
    log_many(
        "scan_settled",
        (
            {
                "scan_id": str(scan.id),
                "status": verdicts[scan.id].status,
                "reason": verdicts[scan.id].reason,
                "request_id": scan.request_id,
            }
            for scan in ours
        ),
    )
    return len(scans)


def publish_verdicts(scans: list[Scan]) -> None:
    """Wake the web processes that hold a client for one of these verdicts. They read it from PostgreSQL themselves."""
    try:
        client().publish(key(VERDICTS_CHANNEL), " ".join(scan.id.hex for scan in scans))
    except redis.RedisError as error:
        log.warning("verdict_publish_failed", error=str(error))
