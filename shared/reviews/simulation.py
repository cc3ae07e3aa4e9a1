"""Simulated scans: the verdict that a scan would get now, without writing anything."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from psycopg.rows import scalar_row

from shared.errors import PlayerNotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.scans import judging_queries, rules
from shared.scans.rules import JudgingLimits, Scan, Verdict, extract_code, extract_step_mac
from shared.scans.store import NewScan


@contextmanager
def read_only_snapshot() -> Iterator[Conn]:
    """Open a transaction in which PostgreSQL itself rejects writes, and all statements see one moment."""
    with db.transaction() as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield conn


def is_player(conn: Conn, player_id: UUID) -> bool:
    """Return whether the player exists."""
    return conn.execute("SELECT FROM players WHERE id = %(id)s", {"id": player_id}).fetchone() is not None


def find_code_id(conn: Conn, org_id: UUID, scanned: str, extra_paths: Sequence[str] = ()) -> UUID | None:
    """Return the id of the organization's code in a scanned text, or None if there is none."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        code_id: UUID | None = cursor.execute(
            """
            SELECT id FROM qr_codes
            WHERE id = (SELECT qr_code_id FROM code_texts WHERE code = %(code)s) AND org_id = %(org_id)s
              AND deleted_at IS NULL
            """,
            {"code": extract_code(scanned, extra_paths), "org_id": org_id},
        ).fetchone()
    return code_id


def simulate(
    conn: Conn,
    org_id: UUID,
    new_scan: NewScan,
    now: datetime,
    limits: JudgingLimits,
    *,
    extra_paths: Sequence[str] = (),
) -> tuple[Verdict, str | None]:
    """Return the verdict that a scan would get now, with all decision inputs, and the scan type of its code.

    Raise PlayerNotFound.
    """
    if not is_player(conn, new_scan.player_id):
        raise PlayerNotFound
    scan = Scan(
        id=uuid7(),
        player_id=new_scan.player_id,
        qr_code=new_scan.qr_code,
        qr_code_id=find_code_id(conn, org_id, new_scan.qr_code, extra_paths),
        scan_time=min(new_scan.scanned_at or now, now),
        received_at=now,
        coordinates=new_scan.coordinates,
        accuracy_m=new_scan.accuracy_m,
        step_mac=extract_step_mac(new_scan.qr_code, extra_paths),
    )
    # Without this limit, staff could find out where a player was for another organization by trying coordinates.
    context = judging_queries.load_context(conn, [scan], limits, fixes_of_org=org_id)
    code = context.codes.get(scan.qr_code_id) if scan.qr_code_id else None
    return rules.judge_all([scan], context, limits, explain=True)[scan.id], code.scan_type if code else None
