"""A verdict that nothing comes of: the rules of judging on a scan that nobody handed in."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra import db
from shared.infra.db import Conn
from shared.scans import judging_queries, rules
from shared.scans.judging_queries import ScanSource
from shared.scans.rules import JudgingLimits, Scan, Verdict, extract_code

SCAN_ROW = """
    (SELECT %(id)s::uuid AS id, %(player)s::uuid AS player_id, %(code)s::uuid AS qr_code_id,
            %(at)s::timestamptz AS scan_time, %(received)s::timestamptz AS received_at,
            %(latitude)s::double precision AS latitude, %(longitude)s::double precision AS longitude) AS given
"""
OWN_CODES = "seen.qr_code_id IN (SELECT id FROM qr_codes WHERE org_id = %(org)s)"
"""An organization learns nothing of where players were for others: it could find them by trying."""


@contextmanager
def read_only_snapshot() -> Iterator[Conn]:
    """A transaction in which PostgreSQL itself refuses to write, and in which all is seen at one moment."""
    with db.transaction() as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield conn


def is_player(conn: Conn, player_id: UUID) -> bool:
    return conn.execute("SELECT FROM players WHERE id = %s", (player_id,)).fetchone() is not None


def find_code_id(conn: Conn, org_id: UUID, scanned: str) -> UUID | None:
    """The organization's code inside what was scanned."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute(
            "SELECT id FROM qr_codes WHERE code = %s AND org_id = %s AND deleted_at IS NULL",
            (extract_code(scanned), org_id),
        ).fetchone()
    return found


def simulate(conn: Conn, scan: Scan, org_id: UUID, limits: JudgingLimits) -> tuple[Verdict, str | None]:
    """The verdict, with what each rule looked at, and the code's scan type."""
    source = ScanSource(
        SCAN_ROW,
        {
            "id": scan.id,
            "player": scan.player_id,
            "code": scan.qr_code_id,
            "at": scan.scan_time,
            "received": scan.received_at,
            "latitude": scan.coordinates and scan.coordinates.latitude,
            "longitude": scan.coordinates and scan.coordinates.longitude,
            "org": org_id,
        },
        fix_filter=OWN_CODES,
    )
    known = judging_queries.load_context(conn, [scan], source, limits)
    code = known.codes.get(scan.qr_code_id) if scan.qr_code_id else None
    return rules.judge_all([scan], known, limits, explain=True)[scan.id], code.scan_type if code else None
