"""Statistics of a code and of an organization."""

from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.analytics import cached_statistics
from shared.errors import NotFound
from shared.scans.rules import REASONS, Reason
from web.http.auth import requires_role
from web.http.schemas import CodePath, OrganizationPath, Query, ResponseModel, Timestamp, TimeZone

api = APIBlueprint("analytics", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Analytics")])


class StatsQuery(Query):
    tz: TimeZone = "UTC"


class ScansResponse(ResponseModel):
    """Scans by status. `total` counts all of them, including pending ones."""

    total: int
    success: int
    failure: int
    pending: int
    held: int
    annulled: int


class DevicesResponse(ResponseModel):
    """Counts by kind of device, from the User-Agent header."""

    phone: int
    tablet: int
    desktop: int
    other: int


class VisitsResponse(ResponseModel):
    """Requests to /s/{code}. `total` and `devices` count people, `bots` crawlers, link previews, prefetches."""

    total: int
    bots: int
    devices: DevicesResponse


class CacheResponse(ResponseModel):
    """Lookups in a cache for this organization."""

    hits: int
    misses: int
    hit_ratio: float | None = Field(description="0.0 to 1.0. Null before the first lookup")


class CachesResponse(ResponseModel):
    images: CacheResponse
    statistics: CacheResponse


class CodeStatsResponse(ResponseModel):
    """Scans and visits of a code. They are at most one hour old: `as_of` is their time."""

    scans: ScansResponse
    success_rate: float | None = Field(
        description="Successes among the settled scans, 0.0 to 1.0. Null before the first settled scan"
    )
    reasons: dict[Reason, int] = Field(description=f"Failures by reason: {', '.join(REASONS)}")
    unique_players: int = Field(description="Players with at least one settled scan")
    devices: DevicesResponse
    hours: Annotated[list[int], Field(min_length=24, max_length=24)] = Field(
        description="Settled scans by hour of day, 0 to 23 in `tz`"
    )
    visits: VisitsResponse
    first_scan_at: Timestamp | None = Field(description="Without scans that were submitted too late")
    last_scan_at: Timestamp | None = Field(description="Without scans that were submitted too late")
    tz: str
    as_of: Timestamp


class StatsResponse(CodeStatsResponse):
    """Scans and visits of an organization. They are at most one hour old. `codes` is always current."""

    codes: int
    cache: CachesResponse | None = Field(description="Current values. Null while Redis is unavailable")


@api.get("/stats", responses={200: StatsResponse})
@requires_role("analyst", scope="analytics")
def organization_stats(path: OrganizationPath, query: StatsQuery) -> dict[str, Any]:
    """Get the statistics of an organization

    Needs the role analyst. Bots are not counted as visitors.
    """
    return cached_statistics.of_organization(path.org_id, query.tz)


@api.get("/qr-codes/<qr_id>/stats", responses={200: CodeStatsResponse})
@requires_role("analyst", scope="analytics")
def code_stats(path: CodePath, query: StatsQuery) -> dict[str, Any]:
    """Get the statistics of a code

    Needs the role analyst. Bots are not counted as visitors.
    """
    counts = cached_statistics.of_code(path.org_id, path.qr_id, query.tz)
    if counts is None:
        raise NotFound
    return counts
