"""Simulated scans: the verdict that a scan would get now, without writing anything."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra import db
from shared.infra.db import Conn
from shared.scans import judging_queries, rules
from shared.scans.rules import JudgingLimits, Scan, Verdict, extract_code


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


def simulate(conn: Conn, scan: Scan, org_id: UUID, limits: JudgingLimits) -> tuple[Verdict, str | None]:
    """Return the verdict with all decision inputs, and the scan type of the code."""
    # Without this limit, staff could find out where a player was for another organization by trying coordinates.
    context = judging_queries.load_context(conn, [scan], limits, fixes_of_org=org_id)
    code = context.codes.get(scan.qr_code_id) if scan.qr_code_id else None
    return rules.judge_all([scan], context, limits, explain=True)[scan.id], code.scan_type if code else None
