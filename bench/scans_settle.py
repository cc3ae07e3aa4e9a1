"""Scans settled per second by one worker process. The rival: Dramatiq's defaults, one scan per message and transaction.

Each round starts a fresh worker on a backlog that is already there. The time is from the first transaction's
verdicts to the last's, by the rows themselves: start-up, connecting and the first transaction count for neither side.
"""

import os
import sys
import time
from statistics import median

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from bench.scans_data import OFF_EVERY, preload
from bench.stack import Stack, running
from bench.table import Figure
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.message_sender import send
from shared.messages import ScansPending

SCANS, RIVAL_SCANS = 20_000, 2_500  # a few seconds' work each
ROUNDS = 3
OUR_WORKER = ("dramatiq", "workers.main", "--processes", "1", "--threads", "4")  # as in the Procfile
RIVAL_WORKER = ("dramatiq", "bench.scans_rival_worker", "--processes", "1")
LIMIT_SECONDS = 60.0


def measure(where: Stack) -> list[Figure]:
    """Measure alternating rounds of Waymark and the rival. Return the medians."""
    rounds = [(_ours(where), _rivals(where)) for _ in range(ROUNDS)]
    ours, rival = (median(side) for side in zip(*rounds, strict=True))
    return [Figure("settled, one worker process", "scans/s", ours, rival, "≥", 10)]


def _ours(where: Stack) -> float:
    with db.connection() as conn:
        preload(conn, SCANS)
        send(ScansPending())
        with running(where.data, "worker", *OUR_WORKER):
            return _drained(conn, SCANS)


def _rivals(where: Stack) -> float:
    with where.rival() as conn:
        broker = RedisBroker(url=os.environ["REDIS_URL"])
        for scan_id in preload(conn, RIVAL_SCANS):
            broker.enqueue(Message("default", "judge_scan", (str(scan_id),), {}, {}))
        with running(where.data, "rival-worker", *RIVAL_WORKER, DATABASE_URL=where.rival_url):
            return _drained(conn, RIVAL_SCANS)


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
