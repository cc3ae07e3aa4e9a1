"""Queries for everything that judging looks at: codes, uses, fair play, nearby activity.

Read under the locks of `settlement`, the result is valid until the commit. Read without them, it is a snapshot.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import DictRow, dict_row

from shared.infra.db import Conn
from shared.scans.fair_play import FairPlay, NearbyActivity
from shared.scans.location_queries import group_fixes, select_fixes_around, select_last_fixes
from shared.scans.rules import CodeRules, Coordinates, JudgingContext, JudgingLimits, Scan, Usage
from shared.scans.travel import ONLINE_DELAY

Row = tuple[Any, ...]


def load_context(
    conn: Conn, scans: Sequence[Scan], limits: JudgingLimits, *, fixes_of_org: UUID | None = None
) -> JudgingContext:
    """Return everything that judging these scans looks at.

    With `fixes_of_org`, leave out location fixes at codes of other organizations.
    """
    code_ids = list({scan.qr_code_id for scan in scans if scan.qr_code_id})
    late = [scan for scan in scans if scan.received_at - scan.scan_time > ONLINE_DELAY]
    with conn.pipeline():
        codes = _select_codes(conn, code_ids)
        settings = _select_fair_play_settings(conn, code_ids)
        usages = _select_usages(conn, scans)
        last_fixes = select_last_fixes(conn, scans, limits, fixes_of_org)
        fixes_around = select_fixes_around(conn, late, limits, fixes_of_org) if late else None
    fair_play = {org_id: FairPlay.read(rules) for org_id, rules in settings.fetchall()}
    return JudgingContext(
        codes={row["id"]: _to_code(row) for row in codes.fetchall()},
        usages={
            (player_id, code_id): Usage(count, tuple(zip(scan_times or (), receipt_times or (), strict=True)))
            for player_id, code_id, count, scan_times, receipt_times in usages.fetchall()
        },
        location_fixes=group_fixes([*last_fixes.fetchall(), *(fixes_around.fetchall() if fixes_around else ())]),
        fair_play=fair_play,
        nearby_activity=_load_nearby_activity(conn, scans) if fair_play else {},
    )


def load_codes(conn: Conn, code_ids: list[UUID]) -> dict[UUID, CodeRules]:
    """Return codes as they are now, by id, deleted ones too."""
    return {row["id"]: _to_code(row) for row in _select_codes(conn, code_ids).fetchall()}


def coordinates_or_none(latitude: float | None, longitude: float | None) -> Coordinates | None:
    """Return the coordinates of a row, or None if it has none."""
    return None if latitude is None or longitude is None else Coordinates(latitude, longitude)


def _select_codes(conn: Conn, code_ids: list[UUID]) -> Cursor[DictRow]:
    return conn.cursor(row_factory=dict_row).execute(
        """
        SELECT q.*, CASE WHEN e.id IS NOT NULL THEN jsonb_build_object('id', e.id, 'puzzle_type', e.puzzle_type,
                    'difficulty_level', e.difficulty_level, 'data', e.data) END AS encounter,
               CASE WHEN q.destination_code IS NOT NULL THEN jsonb_build_object('code', q.destination_code,
                    'description', d.description) END AS destination
        FROM qr_codes q
        LEFT JOIN encounters e ON e.qr_code_id = q.id
        LEFT JOIN qr_codes d ON d.code = q.destination_code AND d.org_id = q.org_id AND d.deleted_at IS NULL
        WHERE q.id = ANY(%(code_ids)b)
        """,
        {"code_ids": code_ids},
        binary=True,
    )


def _to_code(row: Mapping[str, Any]) -> CodeRules:
    return CodeRules(
        id=row["id"],
        code=row["code"],
        org_id=row["org_id"],
        scan_type=row["scan_type"],
        requires_location=row["requires_location"],
        coordinates=coordinates_or_none(row["latitude"], row["longitude"]),
        radius_m=row["radius_m"],
        active=row["active"],
        deleted=row["deleted_at"] is not None,
        starts_at=row["starts_at"],
        expires_at=row["expires_at"],
        max_scans=row["max_scans"],
        use_count=row["use_count"],
        per_player_limit=row["per_player_limit"],
        cooldown=timedelta(seconds=row["cooldown_seconds"]) if row["cooldown_seconds"] else None,
        reward_item=row["reward_item"],
        reward_quantity=row["reward_quantity"],
        encounter=row["encounter"],
        destination=row["destination"],
    )


def _select_fair_play_settings(conn: Conn, code_ids: list[UUID]) -> Cursor[Row]:
    """Select the fair-play settings of the codes' organizations. Most organizations have none."""
    return conn.execute(
        """
        SELECT id, fair_play FROM organizations
        WHERE fair_play IS NOT NULL AND id IN (SELECT org_id FROM qr_codes WHERE id = ANY(%(code_ids)b))
        """,
        {"code_ids": code_ids},
    )


def _select_usages(conn: Conn, scans: Sequence[Scan]) -> Cursor[Row]:
    """Select how often each player has used each code, and when. First uses, most of all, select no row."""
    # Counting stops at the player's limit. Times are read as far as a cooldown reaches by either clock: no scan is
    # received more than 90 days, the highest SCAN_MAX_AGE_HOURS, after it happened.
    known = [scan for scan in scans if scan.qr_code_id]
    return conn.execute(
        """
        SELECT pairs.player_id, q.id, counted.count, recent.scan_times, recent.receipt_times
        FROM (
            SELECT player_id, qr_code_id, min(scan_time) AS first_time, max(scan_time) AS last_time,
                   min(received_at) AS first_received
            FROM unnest(%(player_ids)b::uuid[], %(code_ids)b::uuid[], %(scan_times)b::timestamptz[],
                        %(receipt_times)b::timestamptz[]) AS scans (player_id, qr_code_id, scan_time, received_at)
            GROUP BY player_id, qr_code_id
        ) pairs
        JOIN qr_codes q ON q.id = pairs.qr_code_id
        CROSS JOIN LATERAL (SELECT make_interval(secs => q.cooldown_seconds) AS length) cooldown
        CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT FROM player_scans s
                WHERE s.player_id = pairs.player_id AND s.qr_code_id = q.id AND s.status IN ('success', 'held')
                LIMIT coalesce(q.per_player_limit, 0)
            ) counted_scans
        ) counted
        CROSS JOIN LATERAL (
            SELECT array_agg(s.scan_time) AS scan_times, array_agg(s.received_at) AS receipt_times
            FROM player_scans s
            WHERE s.player_id = pairs.player_id AND s.qr_code_id = q.id AND s.status IN ('success', 'held')
              AND s.scan_time > pairs.first_time - cooldown.length - interval '90 days'
              AND (s.scan_time > pairs.first_time - cooldown.length AND s.scan_time < pairs.last_time + cooldown.length
                   OR s.received_at > pairs.first_received - cooldown.length)
        ) recent
        WHERE counted.count > 0 OR recent.scan_times IS NOT NULL
        """,
        {
            "player_ids": [scan.player_id for scan in known],
            "code_ids": [scan.qr_code_id for scan in known],
            "scan_times": [scan.scan_time for scan in known],
            "receipt_times": [scan.received_at for scan in known],
        },
    )


def _load_nearby_activity(conn: Conn, scans: Sequence[Scan]) -> dict[UUID, NearbyActivity]:
    """Return the activity around each scan whose organization has fair-play rules, as far as these rules look."""
    known = [scan for scan in scans if scan.qr_code_id]
    rows = conn.execute(
        """
        SELECT scans.id,
               ARRAY(
                   SELECT DISTINCT other.player_id
                   FROM player_scans other
                   WHERE other.compare_coordinates
                     AND other.latitude = scans.latitude AND other.longitude = scans.longitude
                     AND other.scan_time > scans.scan_time - identical.size
                     AND other.scan_time < scans.scan_time + identical.size
                     AND other.player_id <> scans.player_id AND other.org_id = q.org_id
                     AND other.status IN ('success', 'held')
                   LIMIT identical.players),
               (SELECT count(*) FROM (
                   SELECT FROM player_scans other
                   WHERE other.player_id = scans.player_id AND other.org_id = q.org_id
                     AND other.status IN ('success', 'held')
                     AND other.scan_time > scans.scan_time - burst.size AND other.scan_time <= scans.scan_time
                   LIMIT burst.per_player) player_before),
               (SELECT count(*) FROM (
                   SELECT FROM player_scans other
                   WHERE other.player_id = scans.player_id AND other.org_id = q.org_id
                     AND other.status IN ('success', 'held')
                     AND other.scan_time >= scans.scan_time AND other.scan_time < scans.scan_time + burst.size
                   LIMIT burst.per_player) player_after),
               (SELECT count(*) FROM (
                   SELECT FROM player_scans other
                   WHERE other.qr_code_id = scans.qr_code_id AND other.status IN ('success', 'held')
                     AND other.scan_time > scans.scan_time - burst.size AND other.scan_time <= scans.scan_time
                   LIMIT burst.per_code) code_before),
               (SELECT count(*) FROM (
                   SELECT FROM player_scans other
                   WHERE other.qr_code_id = scans.qr_code_id AND other.status IN ('success', 'held')
                     AND other.scan_time >= scans.scan_time AND other.scan_time < scans.scan_time + burst.size
                   LIMIT burst.per_code) code_after)
        FROM unnest(%(ids)s::uuid[], %(player_ids)s::uuid[], %(code_ids)s::uuid[], %(scan_times)s::timestamptz[],
                    %(latitudes)s::double precision[], %(longitudes)s::double precision[])
             AS scans (id, player_id, qr_code_id, scan_time, latitude, longitude)
        JOIN qr_codes q ON q.id = scans.qr_code_id
        JOIN organizations o ON o.id = q.org_id AND o.fair_play IS NOT NULL
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => (fair_play #>> '{identical_coordinates,window_seconds}')::float) AS size,
                   coalesce((fair_play #>> '{identical_coordinates,players}')::integer, 0) AS players
        ) identical
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => (fair_play #>> '{burst,window_seconds}')::float) AS size,
                   coalesce((fair_play #>> '{burst,per_player}')::integer, 0) AS per_player,
                   coalesce((fair_play #>> '{burst,per_code}')::integer, 0) AS per_code
        ) burst
        """,
        {
            "ids": [scan.id for scan in known],
            "player_ids": [scan.player_id for scan in known],
            "code_ids": [scan.qr_code_id for scan in known],
            "scan_times": [scan.scan_time for scan in known],
            "latitudes": [scan.coordinates and scan.coordinates.latitude for scan in known],
            "longitudes": [scan.coordinates and scan.coordinates.longitude for scan in known],
        },
    ).fetchall()
    return {scan_id: NearbyActivity(frozenset(player_ids), *counts) for scan_id, player_ids, *counts in rows}
