"""Statistics over HTTP: a code, or an organization, in figures."""

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
from web.http.auth import requires_role
from web.http.schemas import CodePath, OrganizationPath, Query, ResponseModel, Timestamp, TimeZone

api = APIBlueprint("analytics", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Analytics")])


class StatsQuery(Query):
    tz: TimeZone = "UTC"


class ScansResponse(ResponseModel):
    """Scans by status; `total` is all of them, pending ones too."""

    total: int
    success: int
    failure: int
    pending: int
    held: int
    annulled: int


class DevicesResponse(ResponseModel):
    """By the kind of device, as its User-Agent says."""

    phone: int
    tablet: int
    desktop: int
    other: int


class VisitsResponse(ResponseModel):
    """Who opened /s/{code}: people in `total` and `devices`; crawlers, link previews and prefetches in `bots`."""

    total: int
    bots: int
    devices: DevicesResponse


class CacheResponse(ResponseModel):
    """Looks into a cache on this organization's behalf."""

    hits: int
    misses: int
    hit_ratio: float | None = Field(description="0.0-1.0; null before the first look")


class CachesResponse(ResponseModel):
    images: CacheResponse
    statistics: CacheResponse


class CodeStatsResponse(ResponseModel):
    """A code's scans and visits as of a moment, at most an hour ago."""

    scans: ScansResponse
    success_rate: float | None = Field(description="Of settled scans, 0.0-1.0; null before the first one")
    reasons: dict[str, int] = Field(description="Failures by their reason")
    unique_players: int = Field(description="Who ever had a scan settled")
    devices: DevicesResponse
    hours: Annotated[list[int], Field(min_length=24, max_length=24)] = Field(
        description="Settled scans by the hour of day, 0-23 in `tz`"
    )
    visits: VisitsResponse
    first_scan_at: Timestamp | None = Field(description="Without scans that were submitted too late")
    last_scan_at: Timestamp | None = Field(description="Without scans that were submitted too late")
    tz: str
    as_of: Timestamp


class StatsResponse(CodeStatsResponse):
    """Scans as of a moment, at most an hour ago. Codes are never behind: changing them counts everything anew."""

    codes: int
    cache: CachesResponse | None = Field(description="The current counts; null while Redis is unavailable")


@api.get("/stats", responses={200: StatsResponse})
@requires_role("analyst", scope="analytics")
def organization_stats(path: OrganizationPath, query: StatsQuery) -> dict[str, Any]:
    """The organization in figures."""
    with db.connection() as conn:
        tag = cache_versions.cache_version(conn, path.org_id)
    subject = RollupSubject(path.org_id, path.org_id)
    counted = cache.statistics.get_or_create(
        f"{path.org_id}:{tag}:{query.tz}", lambda: _count_organization(subject, query.tz), path.org_id
    )
    return {**json.loads(counted), "cache": _caches(path.org_id)}


@api.get("/qr-codes/<qr_id>/stats", responses={200: CodeStatsResponse})
@requires_role("analyst", scope="analytics")
def code_stats(path: CodePath, query: StatsQuery) -> Any:
    """A code in figures."""
    with db.connection() as conn:
        tag = cache_versions.code_cache_version(conn, path.org_id, path.qr_id)
    if tag is None:
        raise NotFound
    subject = RollupSubject(path.qr_id, path.org_id)
    counted = cache.statistics.get_or_create(
        f"{path.qr_id}:{tag}:{query.tz}", lambda: _count_code(subject, query.tz), path.org_id
    )
    return json.loads(counted)


def _count_organization(subject: RollupSubject, tz: str) -> bytes:
    with db.connection() as conn:
        codes = statistics.count_codes(conn, subject.org_id)
        return _entry(statistics.statistics(conn, subject, tz), tz, codes=codes)


def _count_code(subject: RollupSubject, tz: str) -> bytes:
    with db.connection() as conn:
        return _entry(statistics.statistics(conn, subject, tz), tz)


def _entry(found: Statistics, tz: str, **more: int) -> bytes:
    """Return the cache entry. Incomplete counts are cached for a short time only."""
    told = json.dumps({**more, **_to_response(found, tz)}).encode()
    return told if found.scans.is_complete else cache.ShortLived(told)


def _to_response(found: Statistics, tz: str) -> dict[str, Any]:
    scans, visits = found.scans, found.visits
    return {
        "scans": {
            "total": scans.settled + found.pending,
            "success": scans.success,
            "failure": scans.failure,
            "pending": found.pending,
            "held": scans.held,
            "annulled": scans.annulled,
        },
        "success_rate": scans.success / scans.settled if scans.settled else None,
        "reasons": scans.reasons,
        "unique_players": scans.players,
        "devices": DevicesResponse.model_validate(scans).model_dump(),
        "hours": found.hours,
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
    return {each.name: _ratio(counts[each.name, "hit"], counts[each.name, "miss"]) for each in cache.CACHES}


def _ratio(hits: int, misses: int) -> dict[str, Any]:
    looks = hits + misses
    return {"hits": hits, "misses": misses, "hit_ratio": hits / looks if looks else None}
