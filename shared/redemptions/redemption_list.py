"""The redemptions at an organization, newest first, and their sums by day and service counter, for staff."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, LOWEST
from shared.redemptions.rules import CounterKind, Redemption
from shared.redemptions.store import SELECT_REDEMPTION


@dataclass(frozen=True)
class RedemptionFilter:
    """Conditions on redemptions; None is no condition. `since` (inclusive) and `until` (exclusive) bound their time.
    `counter` is the id of a member or an API key."""

    item: str | None = None
    counter: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class RedemptionPosition:
    """The position of a redemption in the list: its time and its id."""

    at: datetime
    id: UUID


@dataclass(frozen=True)
class DailyRedemptions:
    """The redemptions of one item at one service counter on one day, without undone ones."""

    date: date
    counter_kind: CounterKind
    counter_id: UUID
    counter_name: str
    item: str
    redemptions: int
    quantity: int


# The ids of a page are found first, so that a plan cannot start from the counters. The statement is executed without
# being prepared: it is planned for its own conditions, and reads the index of the filter in use.
PAGE_IDS = """
    WITH page AS MATERIALIZED (
        SELECT id FROM redemptions r
        WHERE r.org_id = %(org_id)s AND (r.at, r.id) < (%(before_at)s, %(before_id)s) AND r.at >= %(since)s
          AND (%(item)s::text IS NULL OR r.item = %(item)s)
          AND (%(counter)s::uuid IS NULL OR coalesce(r.confirmed_by, r.api_key_id) = %(counter)s)
        ORDER BY r.at DESC, r.id DESC LIMIT %(limit)s
    )
"""
PAGE = PAGE_IDS + SELECT_REDEMPTION + "JOIN page ON page.id = r.id ORDER BY r.at DESC, r.id DESC"


def list_redemptions(
    conn: Conn, org_id: UUID, conditions: RedemptionFilter, *, limit: int, before: RedemptionPosition | None = None
) -> list[Redemption]:
    """Return redemptions at the organization, newest first, after the redemption `before`."""
    before_at: datetime | str = before.at if before else "infinity"
    before_id = before.id if before else HIGHEST
    # The lowest id of the time `until`: redemptions of that time are left out.
    if conditions.until is not None and (before is None or conditions.until <= before.at):
        before_at, before_id = conditions.until, LOWEST
    with conn.cursor(row_factory=class_row(Redemption)) as cursor:
        return cursor.execute(
            PAGE,
            {
                "org_id": org_id,
                "item": conditions.item,
                "counter": conditions.counter,
                "since": conditions.since or "-infinity",
                "before_at": before_at,
                "before_id": before_id,
                "limit": limit,
            },
            prepare=False,
        ).fetchall()


def list_daily(
    conn: Conn,
    org_id: UUID,
    days: Sequence[date],
    bounds: Sequence[datetime],
    *,
    item: str | None = None,
    limit: int | None = None,
) -> list[DailyRedemptions]:
    """Return the sums of these successive days by service counter and item, the last day first: up to `limit`.

    `bounds` has the start of each day, and the end of the last one. Days without redemptions have no sums.
    """
    # Each day is one range of the index `redemptions_org`.
    with conn.cursor(row_factory=class_row(DailyRedemptions)) as cursor:
        return cursor.execute(
            """
            SELECT days.date, CASE WHEN k.id IS NULL THEN 'member' ELSE 'key' END AS counter_kind, sums.counter_id,
                   coalesce(p.username, k.name) AS counter_name, sums.item, sums.redemptions, sums.quantity
            FROM unnest(%(dates)s::date[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
                 AS days (date, starts_at, ends_at)
            CROSS JOIN LATERAL (
                SELECT coalesce(r.confirmed_by, r.api_key_id) AS counter_id, r.item, count(*) AS redemptions,
                       sum(r.quantity) AS quantity
                FROM redemptions r
                WHERE r.org_id = %(org_id)s AND r.at >= days.starts_at AND r.at < days.ends_at AND r.undone_at IS NULL
                  AND (%(item)s::text IS NULL OR r.item = %(item)s)
                GROUP BY 1, 2
            ) sums
            LEFT JOIN players p ON p.id = sums.counter_id LEFT JOIN api_keys k ON k.id = sums.counter_id
            ORDER BY days.date DESC, counter_name, sums.counter_id, sums.item LIMIT %(limit)s
            """,
            {
                "org_id": org_id,
                "dates": list(days),
                "starts": list(bounds[:-1]),
                "ends": list(bounds[1:]),
                "item": item,
                "limit": limit,
            },
        ).fetchall()
