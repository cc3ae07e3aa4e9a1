"""Release and annul scans: what an action may change, its effects, and what the audit log records of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.errors import NotFound, NotReviewable
from shared.infra.db import Conn
from shared.reviews import rules, store
from shared.reviews.rules import ReviewAction

AUDIT_ACTIONS: Mapping[ReviewAction, str] = {"release": "scan.released", "annul": "scan.annulled"}


@dataclass(frozen=True)
class ReviewChange:
    """What a review changed, for the audit log."""

    audit_action: str
    old: dict[str, Any]
    new: dict[str, Any]


def review(
    conn: Conn,
    org_id: UUID,
    scan_id: UUID,
    action: ReviewAction,
    reviewer_id: UUID | None,
    *,
    beyond_stock: bool = False,
) -> ReviewChange | None:
    """Release or annul a scan of one of the organization's codes. Return None if that was done before.

    The reviewer is None for an operator. Raise NotFound, NotReviewable, or OutOfStock unless `beyond_stock`.
    """
    scan = store.lock(conn, org_id, scan_id)
    if scan is None:
        raise NotFound
    match rules.review_effect(action, scan.status, is_reviewed=scan.reviewed_at is not None):
        case "conflict":
            raise NotReviewable
        case "none":
            return None
    new: dict[str, Any] = {"status": rules.RESULTING_STATUS[action]}
    if action == "release":
        store.release(conn, scan, org_id, reviewer_id, beyond_stock=beyond_stock)
    elif shortfall := store.annul(conn, scan, org_id, reviewer_id):
        new["shortfall"] = shortfall
    return ReviewChange(AUDIT_ACTIONS[action], {"status": scan.status}, new)
