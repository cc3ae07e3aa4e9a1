"""Reviews in PostgreSQL: scans as staff see them, released and annulled, each with all that it brings about."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.analytics import cache_versions as statistics
from shared.infra import event_log
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST
from shared.quests.scan_progress import advance, retract
from shared.reviews.rules import RESULTING_STATUS, DecisionInputs, ReviewAction
from shared.scans import settlement
from shared.scans.rules import ScanStatus


@dataclass(frozen=True)
class Review:
    """A scan as staff see it: where it was made and how far from its code, and who reviewed it."""

    scan_id: UUID
    player_id: UUID
    username: str
    qr_id: UUID
    qr_code: str
    encounter_type: str | None
    status: ScanStatus
    reason: str | None
    outcome: dict[str, Any]
    decision_inputs: DecisionInputs | None
    latitude: float | None
    longitude: float | None
    accuracy: float | None
    distance_m: float | None
    scanned_at: datetime
    received_at: datetime
    settled_at: datetime | None
    reviewed_by: UUID | None
    reviewed_at: datetime | None


REVIEW = """
    SELECT s.id AS scan_id, s.player_id, p.username, q.id AS qr_id, s.qr_code, q.scan_type AS encounter_type, s.status,
           s.reason, s.outcome, s.decision_inputs, s.latitude, s.longitude, s.accuracy, s.distance_m,
           s.scan_time AS scanned_at, s.received_at, s.settled_at, s.reviewed_by, s.reviewed_at
    FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id JOIN players p ON p.id = s.player_id
"""


def find(conn: Conn, org_id: UUID, scan_id: UUID) -> Review | None:
    """A scan of one of the organization's codes."""
    with conn.cursor(row_factory=class_row(Review)) as cursor:
        return cursor.execute(REVIEW + "WHERE q.org_id = %s AND s.id = %s", (org_id, scan_id)).fetchone()


def of_organization(
    conn: Conn, org_id: UUID, status: ScanStatus, *, limit: int, before: UUID | None = None
) -> list[Review]:
    """Held or annulled scans of an organization's codes, newest first, from past `before` on."""
    with conn.cursor(row_factory=class_row(Review)) as cursor:
        return cursor.execute(
            REVIEW + "WHERE s.status = %s AND s.id < %s AND q.org_id = %s ORDER BY s.id DESC LIMIT %s",
            (status, before or HIGHEST, org_id, limit),
        ).fetchall()


def lock(conn: Conn, org_id: UUID, scan_id: UUID) -> Review | None:
    """Lock a scan of one of the organization's codes and then its player, as settling does, so that no worker judges
    this player and nobody solves this scan's puzzle until the transaction ends. Returns the scan as it is by then."""
    with conn.cursor(row_factory=class_row(Review)) as cursor:
        found = cursor.execute(
            REVIEW + "WHERE q.org_id = %s AND s.id = %s FOR NO KEY UPDATE OF s", (org_id, scan_id)
        ).fetchone()
    if found is not None:
        settlement.lock_players(conn, [found.player_id])
    return found


def release(conn: Conn, scan: Review, org_id: UUID, by: UUID) -> None:
    """Let a held scan be the success that it would have been. The caller holds the locks of `lock`."""
    _decide(conn, scan, "release", by)
    settlement.grant_rewards(conn, [scan.scan_id])
    settlement.move_players(conn, [scan.scan_id])
    _tell(conn, scan, org_id, by)
    advance(conn, [scan.scan_id])
    statistics.bump_version(conn, org_id)


def annul(conn: Conn, scan: Review, org_id: UUID, by: UUID) -> None:
    """Undo all that a scan has brought about, also its puzzle's reward, and free the place it took: of its code's
    stock, of its player's limit. The caller holds the locks of `lock`."""
    if scan.status == "success":
        _restore_location(conn, scan)
        _reverse_rewards(conn, scan)
    _decide(conn, scan, "annul", by)
    _tell(conn, scan, org_id, by)
    if scan.status == "success":
        retract(conn, [scan.scan_id])
    settlement.add_uses(conn, {scan.qr_id: -1})
    statistics.bump_version(conn, org_id)


def _decide(conn: Conn, scan: Review, action: ReviewAction, by: UUID) -> None:
    """Why a scan was held stays in its facts; a scan that no longer waits or fails has no reason."""
    conn.execute(
        """
        UPDATE player_scans SET status = %s, reason = NULL, reviewed_by = %s, reviewed_at = statement_timestamp()
        WHERE id = %s
        """,
        (RESULTING_STATUS[action], by, scan.scan_id),
    )


def _reverse_rewards(conn: Conn, scan: Review) -> None:
    """Enter against each reward of the scan its opposite. The opposite is owed for that entry, so only once."""
    conn.execute(
        """
        INSERT INTO inventory_ledger (player_id, item, quantity, source, source_id)
        SELECT player_id, item, -quantity, 'annulment', id
        FROM inventory_ledger WHERE source IN ('scan', 'encounter') AND source_id = %s
        """,
        (scan.scan_id,),
    )


def _restore_location(conn: Conn, scan: Review) -> None:
    """Where this scan was the last to move its player, bring them to where the one before it had brought them."""
    conn.execute(
        """
        WITH transports AS (
            SELECT id, outcome #>> '{destination,code}' AS code,
                   row_number() OVER (
                       ORDER BY coalesce(reviewed_at, settled_at) DESC, scan_time DESC, received_at DESC, id DESC
                   ) AS back
            FROM player_scans
            WHERE player_id = %(player)s AND status = 'success' AND outcome ? 'destination'
        )
        UPDATE players SET location_code = (SELECT code FROM transports WHERE back = 2)
        WHERE id = %(player)s AND location_code = (SELECT code FROM transports WHERE back = 1 AND id = %(scan)s)
        """,
        {"player": scan.player_id, "scan": scan.scan_id},
    )


def _tell(conn: Conn, scan: Review, org_id: UUID, by: UUID) -> None:
    """To the player and staff the verdict as it is now, to staff alone who gave it."""
    conn.execute(
        """
        INSERT INTO events (type, org_id, data)
        SELECT 'scan_reviewed', %(org)s, jsonb_build_object(
            'scan_id', id, 'qr_code', qr_code, 'status', status, 'previous_status', %(previous_status)s::text,
            'reviewed_by', %(by)s::uuid)
        FROM player_scans WHERE id = %(scan)s
        """,
        {"org": org_id, "previous_status": scan.status, "by": by, "scan": scan.scan_id},
    )
    settlement.tell(conn, [scan.scan_id], scan.status)
    event_log.notify_relay(conn)
