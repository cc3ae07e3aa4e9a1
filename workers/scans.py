"""Judge pending scans: decide by the rules, and settle each scan once."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from uuid import UUID

import redis

from shared.infra import db, leases
from shared.infra.db import exactly_one
from shared.infra.logging import get_logger, log_many
from shared.infra.message_sender import background_sender
from shared.infra.pubsub_messages import VERDICTS_CHANNEL
from shared.infra.redis import client, key
from shared.infra.relay_wakeup import add_wakeup
from shared.infra.tracing import tracing
from shared.messages import ScansAccepted, ScansPending
from shared.scans import judging_queries, rules, settlement, verdict_messages
from shared.scans.judging_limits import from_settings
from shared.scans.rules import Scan, Verdict
from shared.settings import settings
from workers import scan_metrics
from workers.broker import actor_for
from workers.jobs import JobRunner

log = get_logger()

BATCH_SIZE = 400


@actor_for(ScansAccepted)
def judge_accepted() -> None:
    """Judge all new scans."""
    scans.run_pending(retry=False)


@actor_for(ScansPending)
def judge_pending() -> None:
    """Judge all pending scans, also those whose worker crashed."""
    scans.run_pending()


def judge(token: UUID, claimed: list[Scan]) -> None:
    """Judge scans in the order of their scan times, and settle them. The span is linked to their requests."""
    links = {scan.traceparent for scan in claimed if scan.traceparent}
    with tracing.span("judge", links=links, attributes={"scans": len(claimed)}) if links else nullcontext():
        _judge(token, claimed)


def _judge(token: UUID, claimed: list[Scan]) -> None:
    limits = from_settings(settings())
    ordered = sorted(claimed, key=lambda scan: (scan.scan_time, scan.received_at, scan.id))
    try:
        with settlement.settling(), db.pipelined_transaction() as conn:
            held, context = judging_queries.lock_and_read(conn, token, ordered, limits)
            if held:
                verdicts = rules.judge_all(held, context, limits)
                settled = settlement.settle(conn, held, verdicts, has_quests=context.has_quests)
    except settlement.StockChanged:
        with db.connection() as conn:
            leases.release_lease(conn, settlement.PENDING_SCANS, token)
        background_sender.submit(ScansPending())
        return
    if not held:
        # After the commit, which postpones scans.
        raise leases.LeaseLost
    settled_at = exactly_one(settled)[0]
    publish_verdicts(verdict_messages.encode(held, verdicts, context.codes, settled_at))
    scan_metrics.record(held, verdicts, settled_at)
    log_verdicts(held, verdicts)


def dead_letter(token: UUID, claimed: list[Scan]) -> None:
    """Settle scans without attempts left as failures with the reason `not_judged`, which staff see."""
    # Without the context of judging: perhaps no worker can read it.
    verdicts = {scan.id: Verdict("failure", "not_judged") for scan in claimed}
    with db.transaction() as conn:
        ids = {row[0] for row in leases.lock_held(conn, settlement.PENDING_SCANS, token, list(verdicts))}
        held = [scan for scan in claimed if scan.id in ids]
        if not held:
            raise leases.LeaseLost
        settled_at = exactly_one(settlement.settle(conn, held, verdicts, has_quests=False))[0]
    publish_verdicts(verdict_messages.encode_ids(held))
    scan_metrics.record(held, verdicts, settled_at)
    scan_metrics.DEAD_LETTERED.inc(len(held))
    log_verdicts(held, verdicts)


def publish_verdicts(message: bytes) -> None:
    """Pass verdicts to the web processes in which clients wait for them, and wake the relay for their events."""
    try:
        with client().pipeline(transaction=False) as commands:
            commands.publish(key(VERDICTS_CHANNEL), message)
            add_wakeup(commands)
            commands.execute()
    except redis.RedisError as error:
        log.warning("verdict_publish_failed", error=str(error))


def log_verdicts(settled: Iterable[Scan], verdicts: Mapping[UUID, Verdict]) -> None:
    log_many(
        "scan_settled",
        (
            {
                "scan_id": str(scan.id),
                "status": verdicts[scan.id].status,
                "reason": verdicts[scan.id].reason,
                "request_id": scan.request_id,
            }
            for scan in settled
        ),
    )


scans = JobRunner(
    settlement.PENDING_SCANS,
    ScansPending(),
    judge,
    dead_letter,
    lease=lambda: timedelta(seconds=settings().scan_lease_seconds),
    batch_size=BATCH_SIZE,
)
