"""The rival's worker: what a competent developer writes from Dramatiq's guide. One message, one transaction, one scan.

Broker, middleware, threads, prefetch and time-outs are Dramatiq's defaults. The rule and the tables are
Waymark's, so both sides reach the same verdicts and store the same rows. The rival has no lease, no lock on the player,
no NOTIFY, and no log line for each scan.
"""

import os
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from shared.scans.rules import CodeRules, Coordinates, JudgingLimits, LocationFix, Scan, Usage, Verdict, judge

THREADS = 8  # Dramatiq's default
LIMITS = JudgingLimits(max_age=timedelta(hours=72), max_accuracy_m=100, max_speed_mps=300)

broker = RedisBroker(url=os.environ["REDIS_URL"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["REDIS_URL"])))  # idle unless an actor stores results
dramatiq.set_broker(broker)


@cache
def pool() -> ConnectionPool[Connection[DictRow]]:
    """A connection for each thread, made on first use: after the fork."""
    return ConnectionPool(
        os.environ["DATABASE_URL"], min_size=THREADS, max_size=THREADS, open=True, kwargs={"row_factory": dict_row}
    )


@dramatiq.actor
def judge_scan(scan_id: str) -> None:
    """Judge one scan."""
    settle(scan_id)


@dramatiq.actor(store_results=True)
def judge_and_tell(scan_id: str) -> dict[str, Any]:
    """Judge one scan, and return the verdict to the request that waits for it."""
    verdict = settle(scan_id)
    return {"scan_id": scan_id, "status": verdict.status, "reason": verdict.reason, **verdict.outcome}


def settle(scan_id: str) -> Verdict:
    """Read under lock, decide, write; committed as one."""
    with pool().connection() as conn:
        row = conn.execute(
            """
            SELECT s.player_id, s.qr_code, s.qr_code_id, s.scan_time, s.received_at, s.latitude, s.longitude,
                   s.accuracy, q.code, q.org_id, q.scan_type, q.requires_location, q.latitude AS code_latitude,
                   q.longitude AS code_longitude, q.radius_m, q.active, q.deleted_at, q.starts_at, q.expires_at,
                   q.max_scans, q.use_count, q.per_player_limit, q.cooldown_seconds, q.reward_item, q.reward_quantity
            FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id
            WHERE s.id = %s AND s.status = 'pending' FOR UPDATE
            """,
            (scan_id,),
        ).fetchone()
        assert row is not None, "each scan has one message"
        before = conn.execute(
            """
            SELECT (SELECT count(*) FROM player_scans
                    WHERE player_id = %(player)s AND qr_code_id = %(code)s AND status IN ('success', 'held')) AS used,
                   scan_time, latitude, longitude, accuracy
            FROM (SELECT) one LEFT JOIN (
                SELECT scan_time, latitude, longitude, accuracy FROM player_scans
                WHERE player_id = %(player)s AND status IN ('success', 'held') AND latitude IS NOT NULL
                ORDER BY scan_time DESC LIMIT 1) seen ON true
            """,
            {"player": row["player_id"], "code": row["qr_code_id"]},
        ).fetchone()
        assert before is not None
        verdict = judge(_scan(scan_id, row), _code(row), Usage(before["used"]), _location_fixes(before), LIMITS)
        _write(conn, scan_id, row, verdict)
    return verdict


def _write(conn: Connection[DictRow], scan_id: str, row: DictRow, verdict: Verdict) -> None:
    conn.execute(
        """
        UPDATE player_scans SET status = %s, reason = %s, distance_m = %s, outcome = %s, settled_at = clock_timestamp()
        WHERE id = %s
        """,
        (verdict.status, verdict.reason, verdict.distance_m, Jsonb(verdict.outcome), scan_id),
    )
    told = {"scan_id": scan_id, "qr_code": row["qr_code"], "status": verdict.status}
    add_event = "INSERT INTO events (type, player_id, org_id, data) VALUES (%s, %s, %s, %s)"
    if verdict.status != "success":
        data = Jsonb(told | {"reason": verdict.reason})
        conn.execute(add_event, ("scan_result", row["player_id"], row["org_id"], data))
        return
    conn.execute("UPDATE qr_codes SET use_count = use_count + 1 WHERE id = %s", (row["qr_code_id"],))
    item, quantity = verdict.outcome["reward"], verdict.outcome["quantity"]
    conn.execute(
        """
        INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        VALUES (%s, %s, %s, %s, 'scan', %s)
        """,
        (row["player_id"], row["org_id"], item, quantity, scan_id),
    )
    reward = {"reward": item, "quantity": quantity}
    conn.execute(
        add_event + ", (%s, %s, %s, %s)",
        (
            *("scan_result", row["player_id"], row["org_id"], Jsonb(told | reward)),
            *("reward_granted", row["player_id"], row["org_id"], Jsonb({"scan_id": scan_id} | reward)),
        ),
    )


def _scan(scan_id: str, row: DictRow) -> Scan:
    place = Coordinates(row["latitude"], row["longitude"])
    return Scan(
        UUID(scan_id), row["player_id"], row["qr_code"], row["qr_code_id"], row["scan_time"], row["received_at"], place,
        row["accuracy"],
    )  # fmt: skip


def _code(row: DictRow) -> CodeRules:
    return CodeRules(
        id=row["qr_code_id"],
        code=row["code"],
        org_id=row["org_id"],
        scan_type=row["scan_type"],
        requires_location=row["requires_location"],
        coordinates=Coordinates(row["code_latitude"], row["code_longitude"]),
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
    )


def _location_fixes(row: DictRow) -> list[LocationFix]:
    if row["scan_time"] is None:
        return []
    return [LocationFix(row["scan_time"], Coordinates(row["latitude"], row["longitude"]), row["accuracy"])]
