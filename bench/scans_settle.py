"""Scans settled per second by one worker process. The rival: Dramatiq's defaults, one scan per message and transaction.

Each round starts a fresh worker on a backlog that is already there. The time is from the first transaction's
verdicts to the last's, by the rows themselves: start-up, connecting and the first transaction count for neither side.
"""

import os
import sys
import time

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from bench.scans_data import OFF_EVERY, preload
from bench.stack import Stack, running, scaled
from bench.table import Figure
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.message_sender import send
from shared.messages import ScansPending

SCANS, RIVAL_SCANS = 12_000, 1_800  # a few seconds' work each
ROUNDS = 3
# As worker in the Procfile.
OUR_WORKER = ("dramatiq", "workers.main", "--processes", "1", "--threads", "4", "--queues", "scans", "images")
RIVAL_WORKER = ("dramatiq", "bench.scans_rival_worker", "--processes", "1")
LIMIT_SECONDS = 60.0


def measure(where: Stack, scale: float) -> list[Figure]:
    """Measure alternating rounds of Waymark and the rival."""
    # Waymark settles 1,000 scans in one transaction. A rate needs several.
    scans, rival_scans = scaled(SCANS, scale, 4_000), scaled(RIVAL_SCANS, scale, 100)
    rounds = [(_waymark(where, scans), _rival(where, rival_scans)) for _ in range(ROUNDS)]
    return [Figure.of_rounds("settled, one worker process", "scans/s", rounds, "≥", 10)]


def _waymark(where: Stack, scans: int) -> float:
    with db.connection() as conn:
        preload(conn, scans)
        send(ScansPending())
        with running(where.data, "worker", *OUR_WORKER):
            return _drained(conn, scans)


def _rival(where: Stack, scans: int) -> float:
    with where.rival() as conn:
        broker = RedisBroker(url=os.environ["REDIS_URL"])
        for scan_id in preload(conn, scans):
            broker.enqueue(Message("default", "judge_scan", (str(scan_id),), {}, {}))
        with running(where.data, "rival-worker", *RIVAL_WORKER, DATABASE_URL=where.rival_url):
            return _drained(conn, scans)


def _drained(conn: Conn, scans: int) -> float:
    """Wait until all scans are settled, check the verdicts, and return the rate."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while conn.execute("SELECT FROM player_scans WHERE status = 'pending' LIMIT 1").rowcount:
        if time.monotonic() > deadline:
            sys.exit(f"{scans} scans were not settled in {LIMIT_SECONDS:.0f} s")
        time.sleep(0.1)
    won = scans - scans // OFF_EVERY
    found = exactly_one(conn.execute("SELECT (SELECT count(*) FROM inventory_ledger), (SELECT count(*) FROM events)"))
    if found != (won, scans + won + scans):  # scanned, rewarded, judged
        raise RuntimeError(f"{found} ledger entries and events after {scans} scans, of which {won} should have won")
    row = exactly_one(
        conn.execute(
            """
            WITH batch AS (
                SELECT count(*) AS scans, max(settled_at) AS at FROM player_scans
                WHERE scan_time > now() - interval '12 hours' GROUP BY xmin::text
            )
            SELECT (sum(scans) - (array_agg(scans ORDER BY at))[1]) / extract(epoch FROM max(at) - min(at)) FROM batch
            """
        )
    )
    return float(row[0])
