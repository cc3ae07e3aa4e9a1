"""The statistics of a code or an organization as JSON, cached in Redis until their counts change."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from shared.analytics import cache_versions, statistics
from shared.analytics.statistics import ScanStatistics, Statistics, VisitStatistics
from shared.analytics.unaggregated import RollupSubject
from shared.infra import cache, db
from shared.infra.db import Conn
from shared.infra.read_replica import reading, replica
from shared.infra.timestamps import format_rfc3339


def of_organization(org_id: UUID, tz: str) -> dict[str, Any]:
    """Return the statistics of an organization. They are at most one hour old, `cache` has current values."""
    with db.connection() as conn:
        version = cache_versions.cache_version(conn, org_id)
    entry = cache.statistics.get_or_create(
        f"{org_id}:{version}:{tz}", lambda: _count_organization(org_id, version, tz), org_id
    )
    return {**json.loads(entry), "cache": _caches(org_id)}


def of_code(org_id: UUID, qr_id: UUID, tz: str) -> dict[str, Any] | None:
    """Return the statistics of a code, at most one hour old. None if the organization does not have this code."""
    with db.connection() as conn:
        version = cache_versions.code_cache_version(conn, org_id, qr_id)
    if version is None:
        return None
    subject = RollupSubject(qr_id, org_id)
    entry = cache.statistics.get_or_create(f"{qr_id}:{version}:{tz}", lambda: _count_code(subject, version, tz), org_id)
    counts: dict[str, Any] = json.loads(entry)
    return counts


def _count_organization(org_id: UUID, version: str, tz: str) -> bytes:
    def count(conn: Conn) -> bytes:
        codes = statistics.count_codes(conn, org_id)
        return _entry(statistics.statistics(conn, RollupSubject(org_id, org_id), tz), tz, codes=codes)

    return _count_at(version, lambda conn: cache_versions.cache_version(conn, org_id), count)


def _count_code(subject: RollupSubject, version: str, tz: str) -> bytes:
    def count(conn: Conn) -> bytes:
        return _entry(statistics.statistics(conn, subject, tz), tz)

    return _count_at(version, lambda conn: cache_versions.code_cache_version(conn, subject.org_id, subject.id), count)


def _count_at(version: str, version_of: Callable[[Conn], str | None], count: Callable[[Conn], bytes]) -> bytes:
    """Count on the replica if it has reached this version, else on the primary.

    Counts of a replica that is behind must not get the name of a later version: they would be served for an hour.
    Without a replica, the version was read from this server before, so counts are at least as new.
    """
    if replica() is not None:
        entry = reading(lambda conn: count(conn) if version_of(conn) == version else None)
        if entry is not None:
            return entry
    with db.connection() as conn:
        return count(conn)


def _entry(counts: Statistics, tz: str, **more: int) -> bytes:
    """Return the cache entry. Statistics that lack unaggregated events expire soon."""
    entry = json.dumps({**more, **_to_document(counts, tz)}).encode()
    return entry if counts.scans.is_complete else cache.ShortLived(entry)


def _to_document(counts: Statistics, tz: str) -> dict[str, Any]:
    scans, visits = counts.scans, counts.visits
    return {
        "scans": {
            "total": scans.settled + counts.pending,
            "success": scans.success,
            "failure": scans.failure,
            "pending": counts.pending,
            "held": scans.held,
            "annulled": scans.annulled,
        },
        "success_rate": scans.success / scans.settled if scans.settled else None,
        "reasons": scans.reasons,
        "unique_players": scans.players,
        "devices": _devices(scans),
        "hours": counts.hours,
        "visits": {"total": visits.total, "bots": visits.bots, "devices": _devices(visits)},
        "first_scan_at": scans.first_at and format_rfc3339(scans.first_at),
        "last_scan_at": scans.last_at and format_rfc3339(scans.last_at),
        "tz": tz,
        "as_of": format_rfc3339(scans.as_of),
    }


def _devices(counts: ScanStatistics | VisitStatistics) -> dict[str, int]:
    return {"phone": counts.phone, "tablet": counts.tablet, "desktop": counts.desktop, "other": counts.other}


def _caches(org_id: UUID) -> dict[str, Any] | None:
    counts = cache.lookup_counts(org_id)
    if counts is None:
        return None
    return {one.name: _ratio(counts[one.name, "hit"], counts[one.name, "miss"]) for one in cache.CACHES}


def _ratio(hits: int, misses: int) -> dict[str, Any]:
    lookups = hits + misses
    return {"hits": hits, "misses": misses, "hit_ratio": hits / lookups if lookups else None}
