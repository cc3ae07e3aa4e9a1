"""Metrics of settled scans, recorded after their transaction was committed."""

from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.infra.metrics import Counter, Histogram
from shared.scans.rules import Scan, Verdict

SETTLED = Counter(
    "waymark_scans_settled_total",
    "Scans that got their verdict, by status and reason. A success has no reason.",
    ("status", "reason"),
)
DEAD_LETTERED = Counter("waymark_scans_dead_lettered_total", "Scans that failed because workers crashed on them.")
VERDICT_SECONDS = Histogram(
    "waymark_scan_verdict_seconds",
    "Time from the receipt of a scan to its verdict.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
BATCH_SCANS = Histogram(
    "waymark_scan_batch_scans", "Scans that were judged together.", buckets=(1, 2, 5, 10, 25, 50, 100, 200, 400)
)


def record(scans: Sequence[Scan], verdicts: Mapping[UUID, Verdict], settled_at: datetime) -> None:
    """Record a batch of verdicts."""
    BATCH_SCANS.observe(len(scans))
    counts = Counts((verdicts[scan.id].status, verdicts[scan.id].reason or "") for scan in scans)
    for labels, count in counts.items():
        SETTLED.labels(*labels).inc(count)
    for scan in scans:
        VERDICT_SECONDS.observe((settled_at - scan.received_at).total_seconds())
