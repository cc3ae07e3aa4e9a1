"""The scans of an organization's codes, newest first, for staff. Every page reads a bounded part of an index."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST
from shared.reviews.store import SELECT_REVIEW, Review
from shared.scans.rules import REASONS, Reason, ScanStatus

MAX_CODES_READ = 5_000
"""Up to this number of codes, the newest scans of each are read, unless a verdict is wanted."""
MAX_SCANS_READ = 10_000
"""Up to this number of scans of the codes, all of them are read."""
VERDICTS: tuple[tuple[str, str | None], ...] = (
    ("pending", None),
    ("success", None),
    ("annulled", None),
    *product(("failure", "held"), REASONS),
)
"""Every status with each reason that a row can have, also one that was inserted by hand."""


@dataclass(frozen=True)
class ScanFilter:
    """Conditions on scans; None is no condition. `since` (inclusive) and `until` (exclusive) bound the time of the
    scan. `code` is a code text."""

    status: ScanStatus | None = None
    reason: Reason | None = None
    code: str | None = None
    tag: str | None = None
    player_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def verdicts(self) -> list[tuple[str, str | None]]:
        """Return the verdicts that satisfy the conditions on status and reason."""
        return [
            (status, reason)
            for status, reason in VERDICTS
            if self.status in (None, status) and self.reason in (None, reason)
        ]


@dataclass(frozen=True)
class ScanPosition:
    """The position of a scan in the list: its time and its id."""

    scan_time: datetime
    id: UUID


# Each statement finds the ids of a page first, so that a plan cannot start from the codes or the players. They are
# executed without being prepared: each is planned for its own conditions, and those that are null are left out.
# Every verdict is one range of the index `player_scans_verdicts`, in the order of the list: a rare status costs no more
# than a frequent one.
BY_VERDICT = """
    WITH page AS MATERIALIZED (
        SELECT s.id
        FROM unnest(%(statuses)s::text[], %(reasons)s::text[]) AS verdicts (status, reason)
        CROSS JOIN LATERAL (
            SELECT s.id, s.scan_time FROM player_scans s
            WHERE s.org_id = %(org_id)s AND s.status = verdicts.status AND coalesce(s.reason, '') = verdicts.reason
              AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s) AND s.scan_time >= %(since)s
              AND (%(code_ids)s::uuid[] IS NULL OR s.qr_code_id = ANY (%(code_ids)s))
            ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
        ) s
        ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
    )
"""
# A page has scans of those codes only whose own newest scan is among the newest. Of any other code, one scan is read.
BY_CODE = """
    WITH newest_codes AS MATERIALIZED (
        SELECT codes.id
        FROM unnest(%(code_ids)s::uuid[]) AS codes (id)
        CROSS JOIN LATERAL (
            SELECT s.id, s.scan_time FROM player_scans s
            WHERE s.qr_code_id = codes.id AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s)
              AND s.scan_time >= %(since)s AND (%(status)s::text IS NULL OR s.status = %(status)s)
              AND (%(reason)s::text IS NULL OR s.reason = %(reason)s)
            ORDER BY s.scan_time DESC, s.id DESC LIMIT 1
        ) s
        ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
    ), page AS MATERIALIZED (
        SELECT s.id
        FROM newest_codes
        CROSS JOIN LATERAL (
            SELECT s.id, s.scan_time FROM player_scans s
            WHERE s.qr_code_id = newest_codes.id AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s)
              AND s.scan_time >= %(since)s AND (%(status)s::text IS NULL OR s.status = %(status)s)
              AND (%(reason)s::text IS NULL OR s.reason = %(reason)s)
            ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
        ) s
        ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
    )
"""
BY_PLAYER = """
    WITH page AS MATERIALIZED (
        SELECT s.id FROM player_scans s
        WHERE s.player_id = %(player_id)s AND NOT s.outside_history AND s.org_id = %(org_id)s
          AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s) AND s.scan_time >= %(since)s
          AND (%(code_ids)s::uuid[] IS NULL OR s.qr_code_id = ANY (%(code_ids)s))
          AND (%(status)s::text IS NULL OR s.status = %(status)s)
          AND (%(reason)s::text IS NULL OR s.reason = %(reason)s)
        ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
    )
"""
PAGE = SELECT_REVIEW + "JOIN page ON page.id = s.id ORDER BY s.scan_time DESC, s.id DESC"
PAGE_BY_VERDICT, PAGE_BY_CODE, PAGE_BY_PLAYER = BY_VERDICT + PAGE, BY_CODE + PAGE, BY_PLAYER + PAGE


def list_scans(
    conn: Conn, org_id: UUID, conditions: ScanFilter, *, limit: int, before: ScanPosition | None = None
) -> list[Review]:
    """Return scans of the organization's codes, newest first, after the scan `before`."""
    params = to_parameters(conn, org_id, conditions, limit, before)
    if params is None:
        return []
    with conn.cursor(row_factory=class_row(Review)) as cursor:
        if conditions.player_id is not None:
            return cursor.execute(PAGE_BY_PLAYER, params, prepare=False).fetchall()
        if params["code_ids"] is not None and _reads_codes(conn, conditions, params):
            return cursor.execute(PAGE_BY_CODE, params, prepare=False).fetchall()
        return cursor.execute(PAGE_BY_VERDICT, params, prepare=False).fetchall()


def to_parameters(
    conn: Conn, org_id: UUID, conditions: ScanFilter, limit: int, before: ScanPosition | None = None
) -> dict[str, Any] | None:
    """Return the parameters of a page. None if no scan can satisfy the conditions."""
    verdicts = conditions.verdicts()
    code_ids = _find_code_ids(conn, org_id, conditions)
    if not verdicts or code_ids == []:
        return None
    return {
        "org_id": org_id,
        "statuses": [status for status, _ in verdicts],
        "reasons": [reason or "" for _, reason in verdicts],
        "status": conditions.status,
        "reason": conditions.reason,
        "code_ids": code_ids,
        "player_id": conditions.player_id,
        "since": conditions.since or "-infinity",
        "limit": limit,
        **_bound(conditions.until, before),
    }


def _reads_codes(conn: Conn, conditions: ScanFilter, params: Mapping[str, Any]) -> bool:
    """Return whether the scans of the codes are read, each code's by itself, instead of those of each verdict."""
    has_verdict = conditions.status is not None or conditions.reason is not None
    if not has_verdict and len(params["code_ids"]) <= MAX_CODES_READ:
        return True
    # Codes with more scans than that have a large part of all scans: a page is full before many others are read.
    (has_few,) = exactly_one(
        conn.execute(
            """
            SELECT count(*) <= %(most)s FROM (
                SELECT FROM unnest(%(code_ids)s::uuid[]) AS codes (id)
                CROSS JOIN LATERAL (
                    SELECT FROM player_scans s
                    WHERE s.qr_code_id = codes.id AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s)
                      AND s.scan_time >= %(since)s
                    ORDER BY s.scan_time DESC, s.id DESC LIMIT %(most)s + 1
                ) s
                LIMIT %(most)s + 1
            ) scans
            """,
            {**params, "most": MAX_SCANS_READ},
            prepare=False,
        )
    )
    return bool(has_few)


@dataclass(frozen=True)
class HeldNeighbors:
    """The held scans right after and right before a scan, by their time. None if there is none."""

    newer: UUID | None
    older: UUID | None


def find_held_neighbors(conn: Conn, org_id: UUID, scan: ScanPosition) -> HeldNeighbors:
    """Return the held scans of the organization's codes next to a scan, which may have any status."""
    # Each reason is one range of the index `player_scans_verdicts`.
    with conn.cursor(row_factory=class_row(HeldNeighbors)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                SELECT (
                    SELECT s.id FROM unnest(%(reasons)s::text[]) AS reasons (reason)
                    CROSS JOIN LATERAL (
                        SELECT s.id, s.scan_time FROM player_scans s
                        WHERE s.org_id = %(org_id)s AND s.status = 'held' AND coalesce(s.reason, '') = reasons.reason
                          AND (s.scan_time, s.id) > (%(scan_time)s, %(id)s)
                        ORDER BY s.scan_time, s.id LIMIT 1
                    ) s ORDER BY s.scan_time, s.id LIMIT 1
                ) AS newer, (
                    SELECT s.id FROM unnest(%(reasons)s::text[]) AS reasons (reason)
                    CROSS JOIN LATERAL (
                        SELECT s.id, s.scan_time FROM player_scans s
                        WHERE s.org_id = %(org_id)s AND s.status = 'held' AND coalesce(s.reason, '') = reasons.reason
                          AND (s.scan_time, s.id) < (%(scan_time)s, %(id)s)
                        ORDER BY s.scan_time DESC, s.id DESC LIMIT 1
                    ) s ORDER BY s.scan_time DESC, s.id DESC LIMIT 1
                ) AS older
                """,
                {"org_id": org_id, "reasons": list(REASONS), "scan_time": scan.scan_time, "id": scan.id},
            )
        )


def _bound(until: datetime | None, before: ScanPosition | None) -> dict[str, object]:
    """Return the position that all scans of the page precede."""
    # The lowest id of the time `until`: scans of that time are left out.
    if until is not None and (before is None or until <= before.scan_time):
        return {"before_time": until, "before_id": UUID(int=0)}
    if before is not None:
        return {"before_time": before.scan_time, "before_id": before.id}
    return {"before_time": "infinity", "before_id": HIGHEST}


def _find_code_ids(conn: Conn, org_id: UUID, conditions: ScanFilter) -> list[UUID] | None:
    """Return the ids of the codes that satisfy the conditions on codes, deleted ones too. None without conditions."""
    if conditions.code is None and conditions.tag is None:
        return None
    # Live codes have indexes of texts and of tags, deleted ones only that of their organization.
    rows = conn.execute(
        """
        SELECT id FROM qr_codes
        WHERE org_id = %(org_id)s AND deleted_at IS NULL AND (%(code)s::text IS NULL OR code = %(code)s)
          AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s::text])
        UNION ALL
        SELECT id FROM qr_codes
        WHERE org_id = %(org_id)s AND deleted_at IS NOT NULL AND (%(code)s::text IS NULL OR code = %(code)s)
          AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s::text])
        """,
        {"org_id": org_id, "code": conditions.code, "tag": conditions.tag},
        prepare=False,
    )
    return [row[0] for row in rows]
