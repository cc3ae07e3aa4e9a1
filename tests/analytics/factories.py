"""Settled scans, reviews and visits, inserted into PostgreSQL with their events."""

from datetime import UTC, datetime
from uuid import UUID

from shared.analytics import rebuild
from shared.infra.db import Conn, exactly_one
from tests.support.factories import append_event, number_events
from workers import analytics

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


def settle(
    conn: Conn,
    player: UUID,
    code: UUID | None,
    status: str = "success",
    at: datetime = NOON,
    *,
    reason: str = "expired",
    device: str | None = None,
) -> UUID:
    """Insert a scan with its verdict. The trigger appends the event."""
    result = reason if status in ("failure", "held") else None
    scan_id = exactly_one(
        conn.execute(
            """
            INSERT INTO player_scans (player_id, qr_code_id, qr_code, scan_time, status, reason, device, settled_at)
            VALUES (%s, %s, 'text', %s, %s, %s, %s, now()) RETURNING id
            """,
            (player, code, at, status, result, device),
        )
    )[0]
    return UUID(str(scan_id))


def correct(conn: Conn, scan_id: UUID, status: str) -> None:
    """Review a settled scan."""
    with conn.transaction():
        was = exactly_one(conn.execute("SELECT status FROM player_scans WHERE id = %s FOR UPDATE", (scan_id,)))[0]
        conn.execute("UPDATE player_scans SET status = %s, reason = NULL WHERE id = %s", (status, scan_id))
        owner = exactly_one(conn.execute("SELECT player_id, org_id FROM player_scans WHERE id = %s", (scan_id,)))
        append_event(
            conn, "scan_result", *owner, scan_id=str(scan_id), qr_code="text", status=status, previous_status=was
        )


def visit(conn: Conn, code: UUID, at: datetime = NOON, device: str = "phone") -> None:
    conn.execute("INSERT INTO visits (qr_code_id, at, device) VALUES (%s, %s, %s)", (code, at, device))


def roll_up() -> None:
    """Number all committed events, and add them and all visits to the rollups."""
    number_events()
    analytics.roll_up()


def rebuild_all(conn: Conn) -> None:
    for org_id in rebuild.organizations(conn):
        analytics.rebuild(rebuild.of_organization(conn, org_id))
