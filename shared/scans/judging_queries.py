"""What judging needs to know, read from PostgreSQL: codes, use so far, where players were seen, crowds.

Read under the locks of `settling`, it stays true until the commit; read without, it is a look at this moment.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import DictRow, dict_row

from shared.infra.db import Conn
from shared.scans.checks import ONLINE_DELAY
from shared.scans.fair_play import FairPlay, NearbyActivity
from shared.scans.rules import CodeRules, Coordinates, JudgingContext, JudgingLimits, LocationFix, Scan, Usage

Row = tuple[Any, ...]


@dataclass(frozen=True)
class ScanSource:
    """Where the scans come from: a FROM clause with their columns, named `given`; and whose sightings may be looked at,
    by a condition on `seen`, a row of player_scans."""

    given: str
    values: Mapping[str, Any]
    fix_filter: str = "true"


def from_rows(scans: Sequence[Scan]) -> ScanSource:
    """Scans by their rows."""
    return ScanSource("player_scans AS given WHERE given.id = ANY(%(ids)b)", {"ids": [scan.id for scan in scans]})


def load_context(conn: Conn, scans: Sequence[Scan], source: ScanSource, limits: JudgingLimits) -> JudgingContext:
    """What judging these scans needs to know."""
    code_ids = list({scan.qr_code_id for scan in scans if scan.qr_code_id})
    old = [scan for scan in scans if scan.received_at - scan.scan_time > ONLINE_DELAY]
    with conn.pipeline():
        rows = _codes(conn, code_ids)
        asked = _fair_play_settings(conn, code_ids)
        usages = _load_usages(conn, source)
        last = _last_fixes(conn, scans, source, limits)
        near = _fixes_around(conn, old, source, limits) if old else None
    fair_play = {org: FairPlay.read(rules) for org, rules in asked.fetchall()}
    return JudgingContext(
        {row["id"]: _code(row) for row in rows.fetchall()},
        {
            (player, code): Usage(count, tuple(zip(happened or (), received or (), strict=True)))
            for player, code, count, happened, received in usages.fetchall()
        },
        _trails([*last.fetchall(), *(near.fetchall() if near else ())]),
        fair_play,
        _nearby_activity(conn, source) if fair_play else {},
    )


def _codes(conn: Conn, code_ids: list[UUID]) -> Cursor[DictRow]:
    return conn.cursor(row_factory=dict_row).execute(
        """
        SELECT q.*, CASE WHEN e.id IS NOT NULL THEN jsonb_build_object('id', e.id, 'puzzle_type', e.puzzle_type,
                    'difficulty_level', e.difficulty_level, 'data', e.data) END AS encounter,
               CASE WHEN q.destination_code IS NOT NULL THEN jsonb_build_object('code', q.destination_code,
                    'description', d.description) END AS destination
        FROM qr_codes q
        LEFT JOIN encounters e ON e.qr_code_id = q.id
        LEFT JOIN qr_codes d ON d.code = q.destination_code AND d.org_id = q.org_id AND d.deleted_at IS NULL
        WHERE q.id = ANY(%b)
        """,
        (code_ids,),
        binary=True,
    )


def load_codes(conn: Conn, code_ids: list[UUID]) -> dict[UUID, CodeRules]:
    """Codes as they stand, removed ones too."""
    return {row["id"]: _code(row) for row in _codes(conn, code_ids).fetchall()}


def _code(row: Mapping[str, Any]) -> CodeRules:
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


def _fair_play_settings(conn: Conn, code_ids: list[UUID]) -> Cursor[Row]:
    """What the organizations of these codes ask of fair play; most ask nothing and are not there."""
    return conn.execute(
        """
        SELECT id, fair_play FROM organizations
        WHERE fair_play IS NOT NULL AND id IN (SELECT org_id FROM qr_codes WHERE id = ANY(%b))
        """,
        (code_ids,),
    )


def _load_usages(conn: Conn, source: ScanSource) -> Cursor[Row]:
    """How often each player has used each code, no further than the limit; and when, as far as a cooldown reaches by
    either clock. (No scan is received later than the longest grace, 90 days, after it happened.) First uses, which
    most are, find nothing."""
    return conn.execute(
        f"""
        SELECT p.player_id, q.id, used.count, near.happened, near.received
        FROM (SELECT given.player_id, given.qr_code_id, min(given.scan_time) AS first, max(given.scan_time) AS last,
                     min(given.received_at) AS received
              FROM {source.given} GROUP BY given.player_id, given.qr_code_id) p
        JOIN qr_codes q ON q.id = p.qr_code_id
        CROSS JOIN LATERAL (SELECT make_interval(secs => q.cooldown_seconds) AS cooldown) rest
        CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT FROM player_scans s
                WHERE s.player_id = p.player_id AND s.qr_code_id = q.id AND s.status IN ('success', 'held')
                LIMIT coalesce(q.per_player_limit, 0)) counted) used
        CROSS JOIN LATERAL (
            SELECT array_agg(s.scan_time) AS happened, array_agg(s.received_at) AS received
            FROM player_scans s
            WHERE s.player_id = p.player_id AND s.qr_code_id = q.id AND s.status IN ('success', 'held')
              AND s.scan_time > p.first - rest.cooldown - interval '90 days'
              AND (s.scan_time > p.first - rest.cooldown AND s.scan_time < p.last + rest.cooldown
                   OR s.received_at > p.received - rest.cooldown)) near
        WHERE used.count > 0 OR near.happened IS NOT NULL
        """,  # noqa: S608 - made of constants
        source.values,
    )


SELECT_FIX = """
    SELECT seen.id, seen.player_id, seen.scan_time, seen.latitude, seen.longitude, seen.accuracy, seen.received_at,
           (SELECT org_id FROM qr_codes WHERE id = seen.qr_code_id), seen.api_key_id
    FROM player_scans seen
"""
SUBMITTED_BY_PLAYER = UUID(int=0)
"""Stands for the player's own hand."""
SUBMITTER = "coalesce(seen.api_key_id, '00000000-0000-0000-0000-000000000000')"
"""Who handed a scan in; as the index of trails has it."""
IS_ACCURATE = "coalesce(seen.accuracy, 0) <= %(max_accuracy_m)s AND seen.scan_time > %(since)s"
"""What a worse sighting does not replace; it would hide where the player was before."""
FIX_WINDOW = timedelta(days=7)
"""Of the sure ones, no older are looked for: by then one gets anywhere."""


def _last_fixes(conn: Conn, scans: Sequence[Scan], source: ScanSource, limits: JudgingLimits) -> Cursor[Row]:
    """Where each player was last seen by each hand, and last surely seen where that is another place."""
    last, sure = (
        f"""
        {SELECT_FIX}
        WHERE seen.player_id = {player} AND {SUBMITTER} = {hand} AND seen.status IN ('success', 'held')
          AND seen.latitude IS NOT NULL AND {source.fix_filter} AND {kind}
        ORDER BY seen.scan_time DESC LIMIT 1
        """
        for player, hand, kind in (
            ("given.player", "given.hand", "true"),
            ("last.player_id", SUBMITTER.replace("seen.", "last."), IS_ACCURATE),
        )
    )
    hands = list({_submitter(scan) for scan in scans})
    return conn.execute(
        f"""
        WITH last AS MATERIALIZED (
            SELECT s.* FROM unnest(%(players)b::uuid[], %(hands)b::uuid[]) AS given (player, hand)
            CROSS JOIN LATERAL ({last}) s)
        SELECT * FROM last
        UNION ALL
        SELECT s.* FROM last CROSS JOIN LATERAL ({sure}) s WHERE last.accuracy > %(max_accuracy_m)s
        """,  # noqa: S608 - made of constants
        {
            **source.values,
            **_accuracy_params(scans, limits),
            "players": [player for player, _ in hands],
            "hands": [hand for _, hand in hands],
        },
        binary=True,
    )


def _submitter(scan: Scan) -> tuple[UUID, UUID]:
    """Whose scan it is, and who handed it in."""
    return scan.player_id, scan.api_key_id or SUBMITTED_BY_PLAYER


def _fixes_around(conn: Conn, old: Sequence[Scan], source: ScanSource, limits: JudgingLimits) -> Cursor[Row]:
    """Where players were seen, and surely seen, right before and right after scans that were handed in later than they
    were made."""
    sides = " UNION ALL ".join(
        f"""
        (SELECT s.* FROM old CROSS JOIN LATERAL (
            {SELECT_FIX}
            WHERE seen.player_id = old.player AND {SUBMITTER} = old.hand AND seen.status IN ('success', 'held')
              AND seen.latitude IS NOT NULL AND {source.fix_filter} AND {kind}
              AND seen.scan_time {compares} old.at
            ORDER BY seen.scan_time {order} LIMIT 1) s)
        """  # noqa: S608 - made of constants
        for compares, order in (("<=", "DESC"), (">=", "ASC"))
        for kind in ("true", IS_ACCURATE)
    )
    given = """
        SELECT * FROM unnest(%(players)b::uuid[], %(hands)b::uuid[], %(when)b::timestamptz[]) AS old (player, hand, at)
    """
    return conn.execute(
        f"WITH old AS ({given}) {sides}",
        {
            **source.values,
            **_accuracy_params(old, limits),
            "players": [player for player, _ in map(_submitter, old)],
            "hands": [hand for _, hand in map(_submitter, old)],
            "when": [scan.scan_time for scan in old],
        },
    )


def _accuracy_params(scans: Sequence[Scan], limits: JudgingLimits) -> Mapping[str, Any]:
    first = min((scan.scan_time for scan in scans), default=datetime.now(UTC))
    return {"max_accuracy_m": limits.max_accuracy_m, "since": first - FIX_WINDOW}


def _trails(rows: Iterable[Row]) -> dict[UUID, list[LocationFix]]:
    """Sightings by player, each once, in the order of time."""
    trails: dict[UUID, list[LocationFix]] = defaultdict(list)
    for row in sorted({row[0]: row for row in rows}.values(), key=lambda row: (row[2], row[0])):
        trails[row[1]].append(_to_fix(row))
    return trails


def _to_fix(row: Row) -> LocationFix:
    _id, _player, at, latitude, longitude, accuracy, received, org_id, key_id = row
    return LocationFix(at, Coordinates(latitude, longitude), accuracy, received, org_id, key_id)


COUNTED_STATUS = "other.status IN ('success', 'held')"
BEFORE = "other.scan_time > given.scan_time - burst.size AND other.scan_time <= given.scan_time"
AFTER = "other.scan_time >= given.scan_time AND other.scan_time < given.scan_time + burst.size"


def _nearby_activity(conn: Conn, source: ScanSource) -> dict[UUID, NearbyActivity]:
    """What counted around each scan whose organization asks, no further than its rules look."""
    of_player = """
        (SELECT count(*) FROM (SELECT FROM player_scans other JOIN qr_codes its ON its.id = other.qr_code_id
                               WHERE other.player_id = given.player_id AND its.org_id = q.org_id
                                 AND {counted} AND {side}
                               LIMIT burst.per_player) n)
    """
    of_code = """
        (SELECT count(*) FROM (SELECT FROM player_scans other
                               WHERE other.qr_code_id = given.qr_code_id AND {counted} AND {side}
                               LIMIT burst.per_code) n)
    """
    counts = ", ".join(
        each.format(counted=COUNTED_STATUS, side=side)
        for each, side in ((of_player, BEFORE), (of_player, AFTER), (of_code, BEFORE), (of_code, AFTER))
    )
    rows = conn.execute(
        f"""
        SELECT given.id, ARRAY(
                   SELECT DISTINCT other.player_id
                   FROM player_scans other JOIN qr_codes its ON its.id = other.qr_code_id
                   WHERE other.compare_coordinates
                     AND other.latitude = given.latitude AND other.longitude = given.longitude
                     AND other.scan_time > given.scan_time - same.size AND other.scan_time < given.scan_time + same.size
                     AND other.player_id <> given.player_id AND its.org_id = q.org_id AND {COUNTED_STATUS}
                   LIMIT same.players),
               {counts}
        FROM (SELECT * FROM {source.given}) given
        JOIN qr_codes q ON q.id = given.qr_code_id
        JOIN organizations o ON o.id = q.org_id AND o.fair_play IS NOT NULL
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => (fair_play #>> '{{identical_coordinates,window_seconds}}')::float) AS size,
                   coalesce((fair_play #>> '{{identical_coordinates,players}}')::integer, 0) AS players) same
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => (fair_play #>> '{{burst,window_seconds}}')::float) AS size,
                   coalesce((fair_play #>> '{{burst,per_player}}')::integer, 0) AS per_player,
                   coalesce((fair_play #>> '{{burst,per_code}}')::integer, 0) AS per_code) burst
        """,  # noqa: S608 - made of constants
        source.values,
    ).fetchall()
    return {scan_id: NearbyActivity(frozenset(twins), *sides) for scan_id, twins, *sides in rows}


def coordinates_or_none(latitude: float | None, longitude: float | None) -> Coordinates | None:
    """A place, where there is one."""
    return None if latitude is None or longitude is None else Coordinates(latitude, longitude)
