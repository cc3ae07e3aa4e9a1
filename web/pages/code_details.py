"""The page of a code: its image to download, what it does, and for staff its analytics, scans, place and history."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

from flask import Flask, Response, request

from shared.analytics import cached_statistics
from shared.analytics.calendar import Period
from shared.analytics.code_usage import usage_by_code
from shared.analytics.timelines import timeline
from shared.analytics.unaggregated import RollupSubject
from shared.audit import store as audit
from shared.codes import aliases, store
from shared.codes.rules import find_warnings
from shared.codes.states import state_of
from shared.codes.store import StoredCode
from shared.errors import NotFound
from shared.images import store as images
from shared.images.code_url import code_url
from shared.images.image_spec import DEFAULT_DPI, MAX_SIZE, MIN_SIZE
from shared.infra import db
from shared.infra.read_replica import reading
from shared.organizations.rules import Role, includes_role
from shared.reviews import scan_list
from shared.reviews.scan_list import ScanFilter
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages import dates
from web.pages.analytics import PERIODS, all_time
from web.pages.audit_log import describe
from web.pages.code_editor import fields_of
from web.pages.staff import render_staff_page
from web.pages.timeline_charts import timeline_chart

LISTED = 50
"""Scans, and entries of the audit log."""


@dataclass(frozen=True)
class Tab:
    """A part of the page for staff. Its words are in the template."""

    name: str
    role: Role


TABS = (Tab("analytics", "analyst"), Tab("scans", "analyst"), Tab("location", "analyst"), Tab("history", "admin"))


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/codes/<code_id>", "staff.open_code", open_code)


@page_requires_role("member")
@takes_any_query
def open_code(code_id: UUID) -> Response:
    """Show a code. `tab` in the query names the part below it, which scripts load when it is opened."""
    organization = current_organization()
    tabs = [tab.name for tab in TABS if includes_role(organization.role, tab.role)]
    asked = request.args.get("tab", "")
    chosen = asked if asked in tabs else next(iter(tabs), None)
    with db.connection() as conn:
        code = store.find(conn, organization.id, code_id)
        if code is None:
            raise NotFound
        usage = usage_by_code(conn, organization.id, [code_id])[code_id] if tabs else None
        old_texts = aliases.list_for_code(conn, code_id, limit=LISTED)
        appearance = images.find_appearance(conn, organization.id, code_id)
    return render_staff_page(
        "codes/code.html",
        active="codes",
        kind="map" if tabs else "page",
        modules=("pages/code.js",),
        code=code,
        state=state_of(code, datetime.now(UTC), use_count=usage.use_count if usage else 0),
        usage=usage,
        aliases=old_texts,
        has_logo=appearance is not None and appearance.customization.logo_digest is not None,
        warnings=find_warnings(code) if includes_role(organization.role, "admin") else (),
        url=code_url(code.code),
        api=f"/api/organizations/{organization.id}/qr-codes/{code.id}",
        config={"code": fields_of(code) | {"encounter": _public_puzzle(code)}},
        sizes=(MIN_SIZE, MAX_SIZE, DEFAULT_DPI),
        tabs=tabs,
        tab=chosen,
        **_content(chosen, code),
    )


def _public_puzzle(code: StoredCode) -> dict[str, Any] | None:
    """Return what the sentence about a puzzle needs. Its solution is for admins."""
    return {"difficulty_level": code.encounter.difficulty_level} if code.encounter else None


def _content(tab: str | None, code: StoredCode) -> dict[str, Any]:
    """Return the values of a part of the page."""
    if tab == "analytics":
        return _analytics(code)
    if tab == "scans":
        with db.connection() as conn:
            return {"scans": scan_list.list_scans(conn, code.org_id, ScanFilter(code=code.code), limit=LISTED)}
    if tab == "history":
        with db.connection() as conn:
            entries = audit.list_for_organization(conn, code.org_id, object_id=str(code.id), limit=LISTED)
            return {"lines": describe(conn, code.org_id, entries)}
    return {}


def _analytics(code: StoredCode) -> dict[str, Any]:
    period: Period = next((one for one in get_args(Period) if one == request.args.get("period")), "30d")
    zone = dates.viewer_zone()
    counts = cached_statistics.of_code(code.org_id, code.id, zone)
    if counts is None:
        raise NotFound
    days = reading(timeline, RollupSubject(code.id, code.org_id), period, zone, datetime.now(UTC))
    return {
        "period": period,
        "periods": PERIODS,
        "zone": zone,
        "as_of": dates.clock_time(days.as_of, zone),
        "timeline": timeline_chart(days),
        "counts": counts,
        **all_time(counts),
    }
