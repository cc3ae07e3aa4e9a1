"""Metrics of the whole installation, which only the leading scheduler exports: its open work, and its database.

A standby exports none of them, so they exist once. After a minute without a measurement, the leader exports none
either, and an alert on their absence fires.
"""

import time
from collections.abc import Iterator, Mapping

import psycopg
from psycopg.rows import scalar_row

from shared.backup.operations_log import last_proven_backup
from shared.infra import backlog, db
from shared.infra.db import Conn, exactly_one
from shared.infra.event_log import ROLLUPS
from shared.infra.logging import get_logger
from shared.infra.metrics import Collector, GaugeMetricFamily

log = get_logger()

INTERVAL_SECONDS = 10.0
MAX_AGE_SECONDS = 60.0
MAX_HELD = 100_000

HELP = {
    "waymark_backlog": "Open work, by queue. It counts up to the limits of the view backlog.",
    "waymark_backlog_oldest_seconds": "Age of the oldest open work, by queue. 0 if there is none.",
    "waymark_scans_held": "Scans that wait for a review, up to 100,000.",
    "waymark_events_unaggregated": "Events that the rollups do not include yet.",
    "waymark_database_oldest_transaction_seconds": "Age of the oldest transaction in the database.",
    "waymark_backup_last_success_timestamp_seconds": "Time of the newest backup that passed a drill.",
}
Values = dict[str, Mapping[tuple[str, ...], float]]
"""By the name of the metric, and the values of its labels."""


class InstallationMetrics(Collector):
    """The latest measurement, while this process leads."""

    def __init__(self) -> None:
        self._values: Values = {}
        self._measured_at = 0.0

    def measure(self) -> None:
        """Query PostgreSQL. Keep the earlier values if it is unavailable."""
        try:
            # Not from the pool, which the scheduler does not need otherwise.
            with db.dedicated_connection() as conn:
                self._values, self._measured_at = query(conn), time.monotonic()
        except psycopg.Error as error:
            log.warning("installation_not_measured", error=db.describe(error))

    def clear(self) -> None:
        """Export nothing from now on, because another process leads."""
        self._values = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if time.monotonic() - self._measured_at > MAX_AGE_SECONDS:
            return
        for name, values in self._values.items():
            family = GaugeMetricFamily(name, HELP[name], labels=("queue",) if "backlog" in name else ())
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family


installation = InstallationMetrics()


def query(conn: Conn) -> Values:
    """Return the measurements. Each reads one range of an index, or a view of statistics."""
    queues = backlog.load(conn)
    values: Values = {
        "waymark_backlog": {(each.queue,): float(each.waiting) for each in queues},
        "waymark_backlog_oldest_seconds": {(each.queue,): each.oldest_seconds for each in queues},
        "waymark_scans_held": {(): _held_scans(conn)},
        "waymark_events_unaggregated": {(): _unaggregated_events(conn)},
        "waymark_database_oldest_transaction_seconds": {(): _oldest_transaction(conn)},
    }
    if (backup_at := last_proven_backup(conn)) is not None:
        values["waymark_backup_last_success_timestamp_seconds"] = {(): backup_at.timestamp()}
    return values


def _held_scans(conn: Conn) -> float:
    # Each organization is one range of the index player_scans_verdicts.
    row = exactly_one(
        conn.execute(
            """
            SELECT count(*) FROM (
                SELECT FROM organizations o
                CROSS JOIN LATERAL (
                    SELECT FROM player_scans s WHERE s.org_id = o.id AND s.status = 'held' LIMIT %(limit)s
                ) held
                LIMIT %(limit)s
            ) counted
            """,
            {"limit": MAX_HELD},
        )
    )
    return float(row[0])


def _unaggregated_events(conn: Conn) -> float:
    row = exactly_one(
        conn.execute(
            """
            SELECT (SELECT position FROM event_log_end)
                   - coalesce((SELECT position FROM log_positions WHERE name = %(name)s), 0)
            """,
            {"name": ROLLUPS},
        )
    )
    return float(max(0, row[0]))


def _oldest_transaction(conn: Conn) -> float:
    with conn.cursor(row_factory=scalar_row) as cursor:
        seconds = exactly_one(
            cursor.execute(
                """
                SELECT coalesce(extract(epoch FROM now() - min(xact_start)), 0)::double precision
                FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                """
            )
        )
    return float(max(0.0, seconds))
