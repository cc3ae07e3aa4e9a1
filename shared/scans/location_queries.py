"""Queries for location fixes: where and when players were, by their counted scans.

A fix belongs to a player and a submitter: the player, or the API key that submitted the scan. With `org_id`, fixes at
codes of other organizations are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Cursor

from shared.infra.db import Conn
from shared.scans.rules import Coordinates, JudgingLimits, LocationFix, Scan

Row = tuple[Any, ...]

SUBMITTED_BY_PLAYER = UUID(int=0)
"""The submitter of scans without an API key, as in the view `location_fixes`."""
FIX_WINDOW = timedelta(days=7)
"""Older accurate fixes are not read: within this time a player can get anywhere."""


def select_last_fixes(conn: Conn, scans: Sequence[Scan], limits: JudgingLimits, org_id: UUID | None) -> Cursor[Row]:
    """Select the last fix of each player and submitter, and the last accurate one if that is another."""
    submitters = list({_submitter(scan) for scan in scans})
    return conn.execute(
        """
        WITH last_fixes AS MATERIALIZED (
            SELECT fix.*
            FROM unnest(%(player_ids)b::uuid[], %(submitter_ids)b::uuid[]) AS submitters (player_id, submitter_id)
            CROSS JOIN LATERAL (
                SELECT * FROM location_fixes f
                WHERE f.player_id = submitters.player_id AND f.submitter_id = submitters.submitter_id
                  AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s)
                ORDER BY f.scan_time DESC LIMIT 1
            ) fix
        )
        SELECT id, player_id, scan_time, latitude, longitude, accuracy, received_at, org_id, api_key_id FROM last_fixes
        UNION ALL
        SELECT fix.id, fix.player_id, fix.scan_time, fix.latitude, fix.longitude, fix.accuracy, fix.received_at,
               fix.org_id, fix.api_key_id
        FROM last_fixes CROSS JOIN LATERAL (
            SELECT * FROM location_fixes f
            WHERE f.player_id = last_fixes.player_id AND f.submitter_id = last_fixes.submitter_id
              AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s)
              AND coalesce(f.accuracy, 0) <= %(max_accuracy_m)s AND f.scan_time > %(since)s
            ORDER BY f.scan_time DESC LIMIT 1
        ) fix
        WHERE last_fixes.accuracy > %(max_accuracy_m)s
        """,
        {
            "player_ids": [player_id for player_id, _ in submitters],
            "submitter_ids": [submitter_id for _, submitter_id in submitters],
            "org_id": org_id,
            "max_accuracy_m": limits.max_accuracy_m,
            "since": _fixes_since(scans),
        },
        binary=True,
    )


def select_fixes_around(conn: Conn, late: Sequence[Scan], limits: JudgingLimits, org_id: UUID | None) -> Cursor[Row]:
    """Select the fixes, and the accurate fixes, right before and right after scans that were submitted late."""
    return conn.execute(
        """
        SELECT fix.id, fix.player_id, fix.scan_time, fix.latitude, fix.longitude, fix.accuracy, fix.received_at,
               fix.org_id, fix.api_key_id
        FROM unnest(%(player_ids)b::uuid[], %(submitter_ids)b::uuid[], %(scan_times)b::timestamptz[])
             AS late_scans (player_id, submitter_id, scan_time)
        CROSS JOIN LATERAL (
            (SELECT * FROM location_fixes f
             WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
               AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s)
               AND f.scan_time <= late_scans.scan_time
             ORDER BY f.scan_time DESC LIMIT 1)
            UNION ALL
            (SELECT * FROM location_fixes f
             WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
               AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s)
               AND f.scan_time >= late_scans.scan_time
             ORDER BY f.scan_time LIMIT 1)
            UNION ALL
            (SELECT * FROM location_fixes f
             WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
               AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s)
               AND coalesce(f.accuracy, 0) <= %(max_accuracy_m)s AND f.scan_time > %(since)s
               AND f.scan_time <= late_scans.scan_time
             ORDER BY f.scan_time DESC LIMIT 1)
            UNION ALL
            (SELECT * FROM location_fixes f
             WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
               AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s)
               AND coalesce(f.accuracy, 0) <= %(max_accuracy_m)s AND f.scan_time > %(since)s
               AND f.scan_time >= late_scans.scan_time
             ORDER BY f.scan_time LIMIT 1)
        ) fix
        """,
        {
            "player_ids": [scan.player_id for scan in late],
            "submitter_ids": [submitter_id for _, submitter_id in map(_submitter, late)],
            "scan_times": [scan.scan_time for scan in late],
            "org_id": org_id,
            "max_accuracy_m": limits.max_accuracy_m,
            "since": _fixes_since(late),
        },
    )


def _submitter(scan: Scan) -> tuple[UUID, UUID]:
    return scan.player_id, scan.api_key_id or SUBMITTED_BY_PLAYER


def _fixes_since(scans: Sequence[Scan]) -> datetime:
    return min((scan.scan_time for scan in scans), default=datetime.now(UTC)) - FIX_WINDOW


def group_fixes(rows: Iterable[Row]) -> dict[UUID, list[LocationFix]]:
    """Return fixes by player, each once, in order of time."""
    fixes: dict[UUID, list[LocationFix]] = defaultdict(list)
    for row in sorted({row[0]: row for row in rows}.values(), key=lambda row: (row[2], row[0])):
        _id, player_id, at, latitude, longitude, accuracy, received_at, org_id, api_key_id = row
        fixes[player_id].append(
            LocationFix(at, Coordinates(latitude, longitude), accuracy, received_at, org_id, api_key_id)
        )
    return fixes
