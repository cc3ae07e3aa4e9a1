"""Queries for everything that judging looks at: codes, uses, location fixes, fair play, nearby activity.

PostgreSQL reads it in one call and returns it as JSON. Read under the locks of `lock_and_read`, it is valid until the
commit. Read without them, it is a snapshot.
"""

from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.codes.rotation import Rotation
from shared.infra.db import Conn, exactly_one
from shared.scans.fair_play import FairPlay, NearbyActivity
from shared.scans.model import ONLINE_DELAY
from shared.scans.rules import CodeRules, Coordinates, JudgingContext, JudgingLimits, LocationFix, Scan, Usage

Json = Any


def lock_and_read(
    conn: Conn, token: UUID, scans: Sequence[Scan], limits: JudgingLimits
) -> tuple[list[Scan], JudgingContext]:
    """Lock the scans that this lease still holds, then their players, organizations and codes. Return those scans, and
    everything that judging them looks at.

    Raises LockNotAvailable after 5 seconds.
    """
    found, *_ = exactly_one(
        conn.execute(
            "SELECT lock_and_read_scans(%(ids)b, %(token)s, %(max_accuracy_m)s, %(online_delay)s)",
            {
                "ids": [scan.id for scan in scans],
                "token": token,
                "max_accuracy_m": limits.max_accuracy_m,
                "online_delay": ONLINE_DELAY,
            },
        )
    )
    held = {UUID(scan_id) for scan_id in found["held"]}
    return [scan for scan in scans if scan.id in held], _to_context(found["context"])


def load_context(
    conn: Conn, scans: Sequence[Scan], limits: JudgingLimits, *, fixes_of_org: UUID | None = None
) -> JudgingContext:
    """Return everything that judging these scans looks at. They need not be stored.

    With `fixes_of_org`, leave out location fixes at codes of other organizations.
    """
    rows = [
        {
            "id": str(scan.id),
            "player_id": str(scan.player_id),
            "qr_code_id": scan.qr_code_id and str(scan.qr_code_id),
            "scan_time": scan.scan_time.isoformat(),
            "received_at": scan.received_at.isoformat(),
            "latitude": scan.coordinates and scan.coordinates.latitude,
            "longitude": scan.coordinates and scan.coordinates.longitude,
            "api_key_id": scan.api_key_id and str(scan.api_key_id),
        }
        for scan in scans
    ]
    found, *_ = exactly_one(
        conn.execute(
            """
        SELECT judging_context(ARRAY(SELECT s FROM jsonb_populate_recordset(NULL::player_scans, %(rows)s) s),
                               %(max_accuracy_m)s, %(online_delay)s, %(fixes_of_org)s)
        """,
            {
                "rows": Jsonb(rows),
                "max_accuracy_m": limits.max_accuracy_m,
                "online_delay": ONLINE_DELAY,
                "fixes_of_org": fixes_of_org,
            },
        )
    )
    return _to_context(found)


def load_code(conn: Conn, code_id: UUID) -> CodeRules:
    """Return a code as it is now, also a deleted one."""
    row, *_ = exactly_one(
        conn.execute("SELECT row_to_json(c) FROM judged_codes c WHERE c.id = %(id)s", {"id": code_id})
    )
    return _to_code(row)


def coordinates_or_none(latitude: float | None, longitude: float | None) -> Coordinates | None:
    """Return the coordinates of a row, or None if it has none."""
    return None if latitude is None or longitude is None else Coordinates(float(latitude), float(longitude))


def _to_context(found: Json) -> JudgingContext:
    return JudgingContext(
        codes={code.id: code for code in map(_to_code, found["codes"] or ())},
        usages={
            (UUID(player_id), UUID(code_id)): Usage(count, tuple((_time(at), _time(by)) for at, by in times or ()))
            for player_id, code_id, count, times in found["usages"] or ()
        },
        location_fixes=_group_fixes(found["fixes"] or ()),
        fair_play={UUID(org_id): FairPlay.read(rules) for org_id, rules in found["fair_play"] or ()},
        nearby_activity={
            UUID(scan_id): NearbyActivity(frozenset(map(UUID, player_ids)), *counts)
            for scan_id, player_ids, *counts in found["activity"] or ()
        },
        has_quests=found["quests"],
    )


def _to_code(row: Json) -> CodeRules:
    return CodeRules(
        id=UUID(row["id"]),
        code=row["code"],
        org_id=UUID(row["org_id"]),
        scan_type=row["scan_type"],
        requires_location=row["requires_location"],
        coordinates=coordinates_or_none(row["latitude"], row["longitude"]),
        radius_m=float(row["radius_m"]),
        active=row["active"],
        deleted=row["deleted"],
        starts_at=_time_or_none(row["starts_at"]),
        expires_at=_time_or_none(row["expires_at"]),
        max_scans=row["max_scans"],
        use_count=row["use_count"],
        per_player_limit=row["per_player_limit"],
        cooldown=timedelta(seconds=row["cooldown_seconds"]) if row["cooldown_seconds"] else None,
        offline=None if row["offline_hours"] is None else timedelta(hours=row["offline_hours"]),
        usable_since=_time(row["usable_since"]),
        rotation=_rotation_or_none(row["rotation"]),
        reward_item=row["reward_item"],
        reward_quantity=row["reward_quantity"],
        encounter=row["encounter"],
        solution=row["solution"],
        max_attempts=row["max_attempts"],
        answer_within_hours=row["answer_within_hours"],
        destination=row["destination"],
    )


def _rotation_or_none(row: Json) -> Rotation | None:
    return None if row is None else Rotation(row[0], b64decode(row[1]))


def _group_fixes(rows: Iterable[Json]) -> dict[UUID, list[LocationFix]]:
    """Return fixes by player, each once, in order of time."""
    unique = {row[0]: (_time(row[2]), row) for row in rows}
    fixes: dict[UUID, list[LocationFix]] = defaultdict(list)
    for at, row in sorted(unique.values(), key=lambda each: (each[0], each[1][0])):
        _id, player_id, _at, latitude, longitude, accuracy, received_at, org_id, api_key_id = row
        fixes[UUID(player_id)].append(
            LocationFix(
                at,
                Coordinates(float(latitude), float(longitude)),
                accuracy,
                _time(received_at),
                org_id and UUID(org_id),
                api_key_id and UUID(api_key_id),
            )
        )
    return fixes


_time = datetime.fromisoformat


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else _time(text)
