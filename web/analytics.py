"""What was scanned, counted, over HTTP."""

import json
from typing import Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared import cache, db
from shared.analytics import store
from shared.analytics.store import Totals
from shared.times import write_time
from web.auth import requires_role
from web.fields import Answer, Time
from web.organizations import OrganizationPath

api = APIBlueprint("analytics", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Analytics")])


class ScansAnswer(Answer):
    """Scans by status; annulled ones are in the total only."""

    total: int
    success: int
    failure: int
    pending: int
    held: int


class CacheAnswer(Answer):
    """Looks into a cache on this organization's behalf."""

    hits: int
    misses: int
    hit_ratio: float | None = Field(description="0.0-1.0; null before the first look")


class CachesAnswer(Answer):
    images: CacheAnswer
    statistics: CacheAnswer


class StatsAnswer(Answer):
    """Scans as of a moment, at most an hour ago. Codes are never behind: changing them counts everything anew."""

    codes: int
    scans: ScansAnswer
    cache: CachesAnswer | None = Field(description="Of this moment; null while Redis is away")
    as_of: Time


@api.get("/stats", responses={200: StatsAnswer})
@requires_role("analyst")
def organization_stats(path: OrganizationPath) -> dict[str, Any]:
    """The organization in figures."""
    with db.connection() as conn:
        tag = store.tag(conn, path.org_id)
    counted = cache.statistics.get_or_make(f"{path.org_id}:{tag}", lambda: _count(path.org_id), path.org_id)
    return {**json.loads(counted), "cache": _caches(path.org_id)}


def _count(org_id: UUID) -> bytes:
    with db.connection() as conn:
        found = store.totals(conn, org_id)
    return json.dumps({"codes": found.codes, "scans": _scans(found), "as_of": write_time(found.as_of)}).encode()


def _scans(found: Totals) -> dict[str, int]:
    return ScansAnswer.model_validate(found).model_dump()


def _caches(org_id: UUID) -> dict[str, Any] | None:
    counts = cache.counts(org_id)
    if counts is None:
        return None
    return {each.name: _ratio(counts[each.name, "hit"], counts[each.name, "miss"]) for each in cache.CACHES}


def _ratio(hits: int, misses: int) -> dict[str, Any]:
    looks = hits + misses
    return {"hits": hits, "misses": misses, "hit_ratio": hits / looks if looks else None}
