"""Statistics of a code and of an organization."""

import json
from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.analytics import cache_versions, statistics
from shared.analytics.statistics import Statistics
from shared.analytics.unaggregated import RollupSubject
from shared.errors import NotFound
from shared.infra import cache, db
from shared.infra.timestamps import format_rfc3339
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
    with db.connection() as conn:
        version = cache_versions.cache_version(conn, path.org_id)
    subject = RollupSubject(path.org_id, path.org_id)
    entry = cache.statistics.get_or_create(
        f"{path.org_id}:{version}:{query.tz}", lambda: _count_organization(subject, query.tz), path.org_id
    )
    return {**json.loads(entry), "cache": _caches(path.org_id)}


@api.get("/qr-codes/<qr_id>/stats", responses={200: CodeStatsResponse})
@requires_role("analyst", scope="analytics")
def code_stats(path: CodePath, query: StatsQuery) -> Any:
    """Get the statistics of a code

    Needs the role analyst. Bots are not counted as visitors.
    """
    with db.connection() as conn:
        version = cache_versions.code_cache_version(conn, path.org_id, path.qr_id)
    if version is None:
        raise NotFound
    subject = RollupSubject(path.qr_id, path.org_id)
    entry = cache.statistics.get_or_create(
        f"{path.qr_id}:{version}:{query.tz}", lambda: _count_code(subject, query.tz), path.org_id
    )
    return json.loads(entry)


def _count_organization(subject: RollupSubject, tz: str) -> bytes:
    with db.connection() as conn:
        codes = statistics.count_codes(conn, subject.org_id)
        return _entry(statistics.statistics(conn, subject, tz), tz, codes=codes)


def _count_code(subject: RollupSubject, tz: str) -> bytes:
    with db.connection() as conn:
        return _entry(statistics.statistics(conn, subject, tz), tz)


def _entry(statistics: Statistics, tz: str, **more: int) -> bytes:
    """Return the cache entry. Statistics that lack unaggregated events expire soon."""
    entry = json.dumps({**more, **_to_response(statistics, tz)}).encode()
    return entry if statistics.scans.is_complete else cache.ShortLived(entry)


def _to_response(statistics: Statistics, tz: str) -> dict[str, Any]:
    scans, visits = statistics.scans, statistics.visits
    return {
        "scans": {
            "total": scans.settled + statistics.pending,
            "success": scans.success,
            "failure": scans.failure,
            "pending": statistics.pending,
            "held": scans.held,
            "annulled": scans.annulled,
        },
        "success_rate": scans.success / scans.settled if scans.settled else None,
        "reasons": scans.reasons,
        "unique_players": scans.players,
        "devices": DevicesResponse.model_validate(scans).model_dump(),
        "hours": statistics.hours,
        "visits": {
            "total": visits.total,
            "bots": visits.bots,
            "devices": DevicesResponse.model_validate(visits).model_dump(),
        },
        "first_scan_at": scans.first_at and format_rfc3339(scans.first_at),
        "last_scan_at": scans.last_at and format_rfc3339(scans.last_at),
        "tz": tz,
        "as_of": format_rfc3339(scans.as_of),
    }


def _caches(org_id: UUID) -> dict[str, Any] | None:
    counts = cache.lookup_counts(org_id)
    if counts is None:
        return None
    return {one.name: _ratio(counts[one.name, "hit"], counts[one.name, "miss"]) for one in cache.CACHES}


def _ratio(hits: int, misses: int) -> dict[str, Any]:
    lookups = hits + misses
    return {"hits": hits, "misses": misses, "hit_ratio": hits / lookups if lookups else None}
