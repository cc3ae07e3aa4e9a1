"""Timelines of a code and of an organization, as JSON and as CSV."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.analytics import cache_versions
from shared.analytics.calendar import Period
from shared.analytics.timelines import Timeline, timeline
from shared.analytics.unaggregated import RollupSubject
from shared.errors import NotFound
from shared.infra import db
from shared.infra.read_replica import reading
from shared.infra.timestamps import format_rfc3339
from web.api.analytics import StatsQuery
from web.http.auth import requires_role
from web.http.schemas import CodePath, CsvQuery, OrganizationPath, ResponseModel, Timestamp

api = APIBlueprint("timelines", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Analytics")])

COLUMNS = ("date", "count", "success", "unique_players", "visits")


class TimelineQuery(StatsQuery):
    period: Period = "30d"


class TimelineCsvQuery(TimelineQuery, CsvQuery):
    """Options of a timeline as a CSV file."""


class TimelineDay(ResponseModel):
    date: str = Field(json_schema_extra={"format": "date"})
    count: int = Field(description="Settled scans by their scan time")
    success: int
    unique_players: int | None = Field(description="Players of these scans. Null in time zones other than UTC")
    visits: int = Field(description="Requests of people to /s/{code}")


class TimelineResponse(ResponseModel):
    """Successive days. The last one is today in `tz`. Days without scans are zero."""

    period: Period
    tz: str
    as_of: Timestamp = Field(
        description="Everything before this time is counted. Earlier than now only while the rollups are far behind"
    )
    data: list[TimelineDay]


CSV: dict[str, Any] = {
    "description": f"The same days as rows of {', '.join(COLUMNS)}. A field is empty where JSON has null",
    "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
    "content": {
        "text/csv": {"schema": {"type": "string"}, "example": f"{','.join(COLUMNS)}\r\n2026-02-12,5,4,3,12\r\n"}
    },
}


@api.get("/qr-codes/<qr_id>/timeline", responses={200: TimelineResponse})
@requires_role("analyst", scope="analytics")
def code_timeline(path: CodePath, query: TimelineQuery) -> dict[str, Any]:
    """Get the timeline of a code

    One point per day, for charts. Needs the role analyst.
    """
    return _to_response(_of_code(path, query), query)


@api.get("/timeline", responses={200: TimelineResponse})
@requires_role("analyst", scope="analytics")
def organization_timeline(path: OrganizationPath, query: TimelineQuery) -> dict[str, Any]:
    """Get the timeline of an organization

    One point per day for all codes together. A player who scanned several codes counts once a day. Needs the role
    analyst.
    """
    return _to_response(_of_organization(path.org_id, query), query)


@api.get("/qr-codes/<qr_id>/timeline.csv", responses={200: CSV})
@requires_role("analyst", scope="analytics")
def code_timeline_csv(path: CodePath, query: TimelineCsvQuery) -> Response:
    """Download the timeline of a code as CSV

    One row per day. Needs the role analyst.
    """
    return _csv(_of_code(path, query), query)


@api.get("/timeline.csv", responses={200: CSV})
@requires_role("analyst", scope="analytics")
def organization_timeline_csv(path: OrganizationPath, query: TimelineCsvQuery) -> Response:
    """Download the timeline of an organization as CSV

    One row per day. Needs the role analyst.
    """
    return _csv(_of_organization(path.org_id, query), query)


def _of_code(path: CodePath, query: TimelineQuery) -> Timeline:
    # The primary knows a code from the moment of its creation.
    with db.connection() as conn:
        if cache_versions.code_cache_version(conn, path.org_id, path.qr_id) is None:
            raise NotFound
    return reading(timeline, RollupSubject(path.qr_id, path.org_id), query.period, query.tz, datetime.now(UTC))


def _of_organization(org_id: UUID, query: TimelineQuery) -> Timeline:
    return reading(timeline, RollupSubject(org_id, org_id), query.period, query.tz, datetime.now(UTC))


def _to_response(days: Timeline, query: TimelineQuery) -> dict[str, Any]:
    data = [
        {"date": day.isoformat(), "count": count, "success": success, "unique_players": players, "visits": visits}
        for day, count, success, players, visits in days
    ]
    return {"period": query.period, "tz": query.tz, "as_of": format_rfc3339(days.as_of), "data": data}


def _csv(days: Timeline, query: TimelineCsvQuery) -> Response:
    """Return CSV (RFC 4180). It holds dates and numbers only, so no cell is a formula."""
    rows = [",".join("" if value is None else str(value) for value in row) for row in (COLUMNS, *days)]
    return Response(
        query.start + "".join(f"{row}\r\n" for row in rows),
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": f'attachment; filename="timeline-{query.period}.csv"'},
    )
