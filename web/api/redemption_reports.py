"""Reports of redemptions over HTTP, for staff: the list as CSV, and sums by day."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.analytics.calendar import Period, day_bounds, period_days, time_zone
from shared.imports.csv_cells import escape_formula
from shared.infra import db
from shared.infra.read_replica import reading
from shared.infra.timestamps import format_rfc3339
from shared.organizations import store as organizations
from shared.redemptions import redemption_list
from shared.redemptions.redemption_list import RedemptionFilter, RedemptionPosition
from shared.redemptions.rules import Redemption
from web.api.redemptions import CounterResponse, RedemptionFilterQuery, counter_response
from web.http.auth import requires_role
from web.http.csv_responses import Rows, csv_openapi, csv_response
from web.http.schemas import CsvQuery, OrganizationPath, Query, ResponseModel, TimeZone

api = APIBlueprint(
    "redemption_reports", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Redemptions")]
)
COLUMNS = ("at", "counter", "counter_kind", "item", "quantity", "player_id", "redemption_id", "undone_at")
CSV_EXAMPLE = (
    f"{','.join(COLUMNS)}\r\n"
    "2026-02-12T10:00:00Z,Kiosk,key,coffee,1,0197a6b0-0000-7000-8000-000000000000,"
    "0197a6b0-0000-7000-8000-000000000005,\r\n"
)
PAGE_SIZE = 1_000


class RedemptionsCsvQuery(RedemptionFilterQuery, CsvQuery):
    """Conditions on redemptions, and options of the file."""


class DailyQuery(Query):
    period: Period = "30d"
    tz: TimeZone = "UTC"


class DailyRedemptionsResponse(ResponseModel):
    """The redemptions of one item at one service counter on one day, without undone ones."""

    date: str = Field(json_schema_extra={"format": "date"})
    counter: CounterResponse
    item: str = Field(examples=["coffee"])
    redemptions: int = Field(description="Number of redemptions", examples=[12])
    quantity: int = Field(description="Sum of their quantities", examples=[14])


class DailyListResponse(ResponseModel):
    """Sums of the days of the period, the last day first. Days without redemptions are absent."""

    period: Period
    tz: str
    data: list[DailyRedemptionsResponse] = Field(description="One entry per day, service counter and item")


@api.get(
    "/redemptions.csv",
    responses=csv_openapi("The redemptions of the list, one per row", CSV_EXAMPLE),
)
@requires_role("analyst")
def download_redemptions(path: OrganizationPath, query: RedemptionsCsvQuery) -> Response:
    """Download redemptions as CSV

    Needs the role analyst. The rows of the list that match the conditions. A text that a spreadsheet would compute as a
    formula has a quote before it.
    """
    with db.connection() as conn:
        slug = organizations.get_slug(conn, path.org_id)
    conditions = query.conditions()

    def read_pages() -> Iterator[Rows]:
        return _read_pages(path.org_id, conditions)

    return csv_response(COLUMNS, read_pages, query, filename=f"redemptions-{slug}.csv")


@api.get("/redemptions/daily", responses={200: DailyListResponse})
@requires_role("analyst")
def list_daily_redemptions(path: OrganizationPath, query: DailyQuery) -> dict[str, Any]:
    """Get the redemptions of each day

    Needs the role analyst. One entry per day, service counter and item, without undone redemptions. The last day is
    today in `tz`.
    """
    zone = time_zone(query.tz)
    days = period_days(query.period, zone, datetime.now(UTC))
    sums = reading(redemption_list.list_daily, path.org_id, days, day_bounds(days, zone))
    data = [vars(day) | {"date": day.date.isoformat(), "counter": counter_response(day)} for day in sums]
    return DailyListResponse.model_validate({"period": query.period, "tz": query.tz, "data": data}).model_dump(
        mode="json"
    )


def _read_pages(org_id: UUID, conditions: RedemptionFilter) -> Iterator[Rows]:
    """Yield the rows page by page. Between pages no connection is held."""
    before = None
    while True:
        page = reading(redemption_list.list_redemptions, org_id, conditions, limit=PAGE_SIZE, before=before)
        yield map(_csv_row, page)
        if len(page) < PAGE_SIZE:
            return
        before = RedemptionPosition(page[-1].at, page[-1].id)


def _csv_row(redemption: Redemption) -> list[str]:
    return [
        format_rfc3339(redemption.at),
        escape_formula(redemption.counter_name),
        redemption.counter_kind,
        escape_formula(redemption.item),
        str(redemption.quantity),
        str(redemption.player_id),
        str(redemption.id),
        format_rfc3339(redemption.undone_at) if redemption.undone_at else "",
    ]
