"""Judged and held scans, and their effects."""

from typing import Any
from uuid import UUID

from shared.infra.db import Conn
from tests.support.factories import AMSTERDAM, LISBON, make_code, submit_scan
from workers.scans import judge_pending


def scan(conn: Conn, player_id: UUID, code_id: UUID, *coordinates: Any, **fields: Any) -> UUID:
    """Submit and judge a scan."""
    scan_id = submit_scan(conn, player_id, code_id, *coordinates, **fields)
    judge_pending()
    return scan_id


def hold(conn: Conn, player_id: UUID, code_id: UUID, org_id: UUID) -> UUID:
    """Submit a scan of the code in Lisbon right after one in Amsterdam. Return the held one."""
    before = scan(conn, player_id, make_code(conn, org_id, reward_item=None, reward_quantity=None), AMSTERDAM)
    held = scan(conn, player_id, code_id, LISBON)
    assert (status(conn, before), status(conn, held)) == (("success", None), ("held", "impossible_travel"))
    return held


def status(conn: Conn, scan_id: UUID) -> tuple[str, str | None]:
    row = conn.execute("SELECT status, reason FROM player_scans WHERE id = %s", (scan_id,)).fetchone()
    assert row is not None
    return row[0], row[1]


def use_count(conn: Conn, code_id: UUID) -> int:
    row = conn.execute("SELECT use_count FROM qr_codes WHERE id = %s", (code_id,)).fetchone()
    assert row is not None
    return int(row[0])


def location_code(conn: Conn, player_id: UUID) -> str | None:
    row = conn.execute("SELECT location_code FROM players WHERE id = %s", (player_id,)).fetchone()
    assert row is not None
    return row[0] and str(row[0])


def events_of(conn: Conn, scan_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a scan after its submission, in order, without scan id and code."""
    rows = conn.execute(
        """
        SELECT type, data - 'scan_id' - 'qr_code' FROM events
        WHERE data ->> 'scan_id' = %s AND type <> 'qr_scan' ORDER BY id
        """,
        (str(scan_id),),
    )
    return [(type_, data) for type_, data in rows]
