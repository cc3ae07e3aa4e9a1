"""Judge pending scans: decide by the rules, and settle each scan once."""

from datetime import timedelta
from uuid import UUID

import redis

from shared.infra import db, leases
from shared.infra.logging import get_logger, log_many
from shared.infra.message_sender import background_sender
from shared.infra.pubsub_messages import VERDICTS_CHANNEL
from shared.infra.redis import client, key
from shared.infra.relay_wakeup import add_wakeup
from shared.messages import ScansPending
from shared.scans import judging_queries, rules, settlement
from shared.scans.judging_limits import from_settings
from shared.scans.rules import Scan, Verdict
from shared.settings import settings
from workers.broker import actor_for
from workers.jobs import JobRunner

log = get_logger()

BATCH_SIZE = 400


@actor_for(ScansPending)
def judge_pending() -> None:
    """Judge all pending scans."""
    scans.run_pending()


def judge(token: UUID, claimed: list[Scan]) -> None:
    """Judge scans in the order of their scan times, and settle them."""
    ordered = sorted(claimed, key=lambda scan: (scan.scan_time, scan.received_at, scan.id))
    limits = from_settings(settings())
    try:
        with settlement.settling(), db.pipelined_transaction() as conn:
            held, context = judging_queries.lock_and_read(conn, token, ordered, limits)
            verdicts = rules.judge_all(held, context, limits)
            settlement.settle(conn, held, verdicts, has_quests=context.has_quests)
    except settlement.StockChanged:
        with db.connection() as conn:
            leases.release_lease(conn, settlement.PENDING_SCANS, token)
        background_sender.submit(ScansPending())
        return
    _report(held, verdicts)


def dead_letter(token: UUID, claimed: list[Scan]) -> None:
    """Settle scans without attempts left as failures with the reason `not_judged`, which staff see."""
    with db.pipelined_transaction() as conn:
        held, _ = judging_queries.lock_and_read(conn, token, claimed, from_settings(settings()))
        verdicts = {scan.id: Verdict("failure", "not_judged") for scan in held}
        settlement.settle(conn, held, verdicts, has_quests=False)
    _report(held, verdicts)


def _report(settled: list[Scan], verdicts: dict[UUID, Verdict]) -> None:
    publish_verdicts(settled)
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


def publish_verdicts(scans: list[Scan]) -> None:
    """Wake the web processes in which a client waits for one of these verdicts, and the relay, for their events."""
    try:
        with client().pipeline(transaction=False) as commands:
            commands.publish(key(VERDICTS_CHANNEL), " ".join(scan.id.hex for scan in scans))
            add_wakeup(commands)
            commands.execute()
    except redis.RedisError as error:
        log.warning("verdict_publish_failed", error=str(error))


scans = JobRunner(
    settlement.PENDING_SCANS,
    ScansPending(),
    judge,
    dead_letter,
    lease=lambda: timedelta(seconds=settings().scan_lease_seconds),
    batch_size=BATCH_SIZE,
)
