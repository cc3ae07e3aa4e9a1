"""Reviews in PostgreSQL: find a scan for staff, release or annul it with all effects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared import reward_metrics
from shared.analytics import cache_versions
from shared.errors import OutOfStock
from shared.infra.db import Conn
from shared.quests.scan_progress import advance, retract
from shared.reviews.rules import RESULTING_STATUS, DecisionInputs, ReviewAction, deciding_rule
from shared.scans import settlement
from shared.scans.model import ONLINE_DELAY
from shared.scans.rules import ScanStatus


@dataclass(frozen=True)
class Review:
    """A scan as staff see it, with its coordinates, its distance from the code in meters, and its reviewer."""

    scan_id: UUID
    player_id: UUID
    username: str
    qr_id: UUID
    qr_code: str
    description: str
    device: str | None
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
    position_cleared_at: datetime | None
    reviewed_by: UUID | None
    reviewed_at: datetime | None
    step_mac: str | None

    @property
    def held_for(self) -> str | None:
        """Return why the scan was held, also after a review. None if it was not."""
        if self.reviewed_at is not None and self.decision_inputs:
            return deciding_rule(self.decision_inputs)
        return self.reason if self.status == "held" else None

    @property
    def is_late(self) -> bool:
        """True if it arrived more than a minute after its own time, as scans made offline do."""
        return self.received_at - self.scanned_at > ONLINE_DELAY


SELECT_REVIEW = """
    SELECT s.id AS scan_id, s.player_id, p.username, q.id AS qr_id, s.qr_code, q.description, s.device,
           q.scan_type AS encounter_type, s.status, s.reason, s.outcome, s.decision_inputs, s.latitude, s.longitude,
           s.accuracy, s.distance_m, s.scan_time AS scanned_at, s.received_at, s.settled_at,
           s.position_cleared_at, s.reviewed_by, s.reviewed_at, s.step_mac
    FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id JOIN players p ON p.id = s.player_id
"""


def find(conn: Conn, org_id: UUID, scan_id: UUID) -> Review | None:
    """Return a scan of one of the organization's codes, or None if it has no such scan."""
    with conn.cursor(row_factory=class_row(Review)) as cursor:
        return cursor.execute(
            SELECT_REVIEW + "WHERE q.org_id = %(org_id)s AND s.id = %(scan_id)s",
            {"org_id": org_id, "scan_id": scan_id},
        ).fetchone()


def lock(conn: Conn, org_id: UUID, scan_id: UUID) -> Review | None:
    """Lock a scan of one of the organization's codes and its player. Return the scan, or None if it has no such scan.

    Until the transaction ends, no worker judges this player and no request solves this scan's puzzle.
    """
    # First the scan, then the player: the order in which settling locks them.
    with conn.cursor(row_factory=class_row(Review)) as cursor:
        review = cursor.execute(
            SELECT_REVIEW + "WHERE q.org_id = %(org_id)s AND s.id = %(scan_id)s FOR NO KEY UPDATE OF s",
            {"org_id": org_id, "scan_id": scan_id},
        ).fetchone()
    if review is not None:
        settlement.lock_players(conn, [review.player_id])
    return review


def release(conn: Conn, scan: Review, org_id: UUID, reviewer_id: UUID | None, *, beyond_stock: bool = False) -> None:
    """Make a held scan a success, with all effects of a success. The caller holds the locks of `lock`.

    The reviewer is None if an operator releases it.

    Raise OutOfStock if the code has no uses left, unless `beyond_stock`. The transaction is then aborted.
    """
    _save_review(conn, scan, "release", reviewer_id)
    settlement.grant_rewards(conn, [scan.scan_id])
    reward_metrics.record(conn, "scan", "reward" in scan.outcome)
    settlement.move_players(conn, [scan.scan_id])
    settlement.open_puzzles(conn, [scan.scan_id])
    _append_events(conn, scan, org_id, reviewer_id)
    advance(conn, [scan.scan_id])
    try:
        with settlement.settling():
            settlement.add_uses(conn, {scan.qr_id: 1}, beyond_stock=beyond_stock)
    except settlement.StockChanged:
        raise OutOfStock from None
    cache_versions.bump_version(conn, org_id)


def annul(conn: Conn, scan: Review, org_id: UUID, reviewer_id: UUID | None) -> dict[str, int]:
    """Reverse all effects of a scan, the reward of its puzzle included. The caller holds the locks of `lock`.

    Return the shortfall: what could not be reversed because it was redeemed, by item. The scan no longer counts against
    the stock of its code or the limit of its player.
    """
    if scan.status == "success":
        _restore_location(conn, scan)
        _reverse_rewards(conn, scan)
    _save_review(conn, scan, "annul", reviewer_id)
    _append_events(conn, scan, org_id, reviewer_id)
    if scan.status == "success":
        retract(conn, [scan.scan_id])
        settlement.add_uses(conn, {scan.qr_id: -1})
    cache_versions.bump_version(conn, org_id)
    return _shortfall(conn, scan.player_id)


def _save_review(conn: Conn, scan: Review, action: ReviewAction, reviewer_id: UUID | None) -> None:
    # Only failed and held scans have a reason. The decision inputs still name why the scan was held.
    conn.execute(
        """
        UPDATE player_scans
        SET status = %(status)s, reason = NULL, reviewed_by = %(reviewer_id)s, reviewed_at = statement_timestamp()
        WHERE id = %(id)s
        """,
        {"status": RESULTING_STATUS[action], "reviewer_id": reviewer_id, "id": scan.scan_id},
    )


def _reverse_rewards(conn: Conn, scan: Review) -> None:
    # Each ledger entry gets one opposite: the constraint `inventory_ledger_source_key` allows no second one.
    conn.execute(
        """
        INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        SELECT player_id, org_id, item, -quantity, 'annulment', id
        FROM inventory_ledger WHERE source IN ('scan', 'encounter') AND source_id = %(scan_id)s
        """,
        {"scan_id": scan.scan_id},
    )


def _shortfall(conn: Conn, player_id: UUID) -> dict[str, int]:
    # The entries of this transaction: `at` is its start, and the player is locked.
    rows = conn.execute(
        """
        SELECT item, sum(shortfall) FROM inventory_ledger
        WHERE player_id = %(player_id)s AND source = 'annulment' AND at = now() AND shortfall > 0 GROUP BY item
        """,
        {"player_id": player_id},
    )
    return {item: int(shortfall) for item, shortfall in rows}


def _restore_location(conn: Conn, scan: Review) -> None:
    """If this scan was the last to move its player, move the player to the destination of the one before."""
    conn.execute(
        """
        WITH transports AS (
            SELECT id, outcome #>> '{destination,code}' AS code,
                   row_number() OVER (
                       ORDER BY coalesce(reviewed_at, settled_at) DESC, scan_time DESC, received_at DESC, id DESC
                   ) AS recency
            FROM player_scans
            WHERE player_id = %(player_id)s AND status = 'success' AND outcome ? 'destination'
        )
        UPDATE players SET location_code = (SELECT code FROM transports WHERE recency = 2)
        WHERE id = %(player_id)s
          AND location_code = (SELECT code FROM transports WHERE recency = 1 AND id = %(scan_id)s)
        """,
        {"player_id": scan.player_id, "scan_id": scan.scan_id},
    )


def _append_events(conn: Conn, scan: Review, org_id: UUID, reviewer_id: UUID | None) -> None:
    """Append the new verdict for player and staff, and the reviewer for staff only."""
    conn.execute(
        """
        INSERT INTO events (type, org_id, data)
        SELECT 'scan_reviewed', %(org_id)s, jsonb_build_object(
            'scan_id', id, 'qr_code', qr_code, 'status', status, 'previous_status', %(previous_status)s::text,
            'reviewed_by', %(reviewer_id)s::uuid)
        FROM player_scans WHERE id = %(scan_id)s
        """,
        {
            "org_id": org_id,
            "previous_status": scan.status,
            "reviewer_id": reviewer_id,
            "scan_id": scan.scan_id,
        },
    )
    settlement.append_events(conn, [scan.scan_id], scan.status)
