"""The list of an organization's codes, with filters in the URL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args
from urllib.parse import urlencode
from uuid import UUID

from flask import Flask, Response, request

from shared.analytics.code_usage import CodeUsage, usage_by_code
from shared.codes import selection, store
from shared.codes.filters import CodeFilter
from shared.codes.rules import ScanType
from shared.codes.selection import MAX_SELECTED
from shared.codes.states import CodeState, state_of
from shared.codes.store import StoredCode
from shared.images.code_url import code_url
from shared.infra import db
from shared.organizations.rules import includes_role
from web.http.auth import current_organization, page_requires_role, parse_id
from web.http.pagination import decode_id, paginate
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page

PAGE_SIZE = 50
MAX_TEXT = 200
FILTERS = ("q", "tag", "scan_type", "active")


@dataclass(frozen=True)
class Row:
    """A code in the list. Its usage is for analysts."""

    code: StoredCode
    state: CodeState
    url: str
    usage: CodeUsage | None


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/codes", "staff.open_codes", open_codes)


@page_requires_role("member")
@takes_any_query
def open_codes() -> Response:
    """Show the codes that match the filters in the query, newest first. `row` in the query shows one code only."""
    organization = current_organization()
    conditions = filter_of(request.args)
    with db.connection() as conn:
        if (qr_id := _id_of(request.args.get("row"))) is not None:
            found = store.list_by_ids(conn, organization.id, [qr_id])
            total = len(found)
        else:
            before = decode_id(request.args.get("cursor"))
            found = store.list_for_organization(conn, organization.id, conditions, limit=PAGE_SIZE + 1, before=before)
            total = selection.count(conn, organization.id, conditions)
        codes, next_cursor = paginate(found, PAGE_SIZE, lambda code: (str(code.id),))
        usages: Mapping[UUID, CodeUsage] = {}
        if includes_role(organization.role, "analyst"):
            usages = usage_by_code(conn, organization.id, [code.id for code in codes])
    filters = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    return render_staff_page(
        "codes/list.html",
        active="codes",
        modules=("pages/codes.js",),
        rows=[_row(code, usages.get(code.id)) for code in codes],
        total=total,
        max_selected=MAX_SELECTED,
        filters=filters,
        more=next_cursor and "?" + urlencode(filters | {"cursor": next_cursor}),
    )


def filter_of(args: Mapping[str, str]) -> CodeFilter:
    """Return the filter in a query. Values that no list can have, such as an unknown type, are no condition."""
    # PostgreSQL stores no NUL, so no text contains it.
    texts = {name: args[name].replace("\0", "")[:MAX_TEXT] or None for name in FILTERS if name in args}
    scan_type: ScanType | None = next((each for each in get_args(ScanType) if each == texts.get("scan_type")), None)
    active = {"true": True, "false": False}.get(texts.get("active") or "")
    return CodeFilter(texts.get("q"), texts.get("tag"), scan_type, active)


def _row(code: StoredCode, usage: CodeUsage | None) -> Row:
    state = state_of(code, datetime.now(UTC), use_count=usage.use_count if usage else 0)
    return Row(code, state, code_url(code.code), usage)


def _id_of(text: str | None) -> UUID | None:
    """Return the id in the query. None if there is none, or if it is malformed."""
    try:
        return parse_id(text) if text is not None else None
    except ValueError:
        return None
