"""Timelines over HTTP, as JSON and as CSV: of a code, and of an organization as a whole."""

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
from shared.infra.timestamps import format_rfc3339
from web.api.analytics import StatsQuery
from web.http.auth import requires_role
from web.http.schemas import CodePath, OrganizationPath, ResponseModel, Timestamp

api = APIBlueprint("timelines", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Analytics")])

COLUMNS = ("date", "count", "success", "unique_players", "visits")


class TimelineQuery(StatsQuery):
    period: Period = "30d"


class TimelineDay(ResponseModel):
    date: str = Field(json_schema_extra={"format": "date"})
    count: int = Field(description="Settled scans, by the time they were scanned at")
    success: int
    unique_players: int | None = Field(description="Whose scans they were; null in other time zones than UTC")
    visits: int = Field(description="Of people, to /s/{code}")


class TimelineResponse(ResponseModel):
    """Successive days, the last one today in `tz`; zero where nothing was."""

    period: Period
    tz: str
    as_of: Timestamp = Field(description="Up to when everything is counted: now, unless a great deal is still to be")
    data: list[TimelineDay]


CSV: dict[str, Any] = {
    "description": f"The same days as lines of {', '.join(COLUMNS)}; a field is empty where JSON has null",
    "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
    "content": {
        "text/csv": {"schema": {"type": "string"}, "example": f"{','.join(COLUMNS)}\r\n2026-02-12,5,4,3,12\r\n"}
    },
}


@api.get("/qr-codes/<qr_id>/timeline", responses={200: TimelineResponse})
@requires_role("analyst", scope="analytics")
def code_timeline(path: CodePath, query: TimelineQuery) -> dict[str, Any]:
    """A code's scans and visits, day by day."""
    return _to_response(_of_code(path, query), query)


@api.get("/timeline", responses={200: TimelineResponse})
@requires_role("analyst", scope="analytics")
def organization_timeline(path: OrganizationPath, query: TimelineQuery) -> dict[str, Any]:
    """Scans and visits of all of the organization's codes, day by day; a player who scanned several is one."""
    return _to_response(_of_organization(path.org_id, query), query)


@api.get("/qr-codes/<qr_id>/timeline.csv", responses={200: CSV})
@requires_role("analyst", scope="analytics")
def code_timeline_csv(path: CodePath, query: TimelineQuery) -> Response:
    """A code's scans and visits, day by day, for a spreadsheet."""
    return _csv(_of_code(path, query), query)


@api.get("/timeline.csv", responses={200: CSV})
@requires_role("analyst", scope="analytics")
def organization_timeline_csv(path: OrganizationPath, query: TimelineQuery) -> Response:
    """The organization's, for a spreadsheet."""
    return _csv(_of_organization(path.org_id, query), query)


def _of_code(path: CodePath, query: TimelineQuery) -> Timeline:
    with db.connection() as conn:
        if cache_versions.code_cache_version(conn, path.org_id, path.qr_id) is None:
            raise NotFound
        return timeline(conn, RollupSubject(path.qr_id, path.org_id), query.period, query.tz, datetime.now(UTC))


def _of_organization(org_id: UUID, query: TimelineQuery) -> Timeline:
    with db.connection() as conn:
        return timeline(conn, RollupSubject(org_id, org_id), query.period, query.tz, datetime.now(UTC))


def _to_response(found: Timeline, query: TimelineQuery) -> dict[str, Any]:
    data = [
        {"date": day.isoformat(), "count": count, "success": success, "unique_players": players, "visits": visits}
        for day, count, success, players, visits in found
    ]
    return {"period": query.period, "tz": query.tz, "as_of": format_rfc3339(found.as_of), "data": data}


def _csv(found: Timeline, query: TimelineQuery) -> Response:
    """RFC 4180. Dates and numbers only: nothing that a spreadsheet would run."""
    lines = [",".join("" if value is None else str(value) for value in line) for line in (COLUMNS, *found)]
    return Response(
        "".join(f"{line}\r\n" for line in lines),
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": f'attachment; filename="timeline-{query.period}.csv"'},
    )
