"""The quests of an organization: the list, and the editor of one. Quests of the operator are shown, not changed."""

from datetime import UTC, datetime, timedelta

from flask import Flask, Response, request

from shared.codes import tags
from shared.errors import NotFound
from shared.infra import db
from shared.quests import organization_quests as store
from shared.quests.organization_quests import RecentCounts
from web.http.auth import current_organization, page_requires_role
from web.http.pagination import decode_cursor, paginate
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page

PAGE_SIZE = 50
RECENT = timedelta(days=30)
MAX_TAGS = 50
"""Tags that the editor offers. Others can be typed."""


def init_app(app: Flask) -> None:
    """Register the pages. No quest is named `new`."""
    app.add_url_rule("/o/<slug>/quests", "staff.open_quests", open_quests)
    app.add_url_rule("/o/<slug>/quests/new", "staff.open_new_quest", open_new_quest)
    app.add_url_rule("/o/<slug>/quests/<name>", "staff.open_quest", open_quest)


@page_requires_role("admin")
@takes_any_query
def open_quests() -> Response:
    """Show quests by name."""
    cursor = request.args.get("cursor")
    after = decode_cursor(cursor, 1)[0] if cursor else ""
    with db.connection() as conn:
        found = store.list_for_organization(conn, current_organization().id, after=after, limit=PAGE_SIZE + 1)
        page, next_cursor = paginate(found, PAGE_SIZE, lambda quest: (quest.name,))
        recent = store.count_recent(conn, [quest.name for quest in page], datetime.now(UTC) - RECENT)
    return render_staff_page(
        "quests/list.html",
        active="quests",
        modules=("pages/quests.js",),
        quests=[(quest, recent.get(quest.name, RecentCounts())) for quest in page],
        more=next_cursor and f"?cursor={next_cursor}",
    )


@page_requires_role("admin")
@takes_any_query
def open_new_quest() -> Response:
    """Show the form that creates a quest."""
    with db.connection() as conn:
        found_tags = tags.list_for_organization(conn, current_organization().id, "", limit=MAX_TAGS)
    return render_staff_page(
        "quests/edit.html", active="quests", modules=("pages/quest.js",), quest=None, is_own=True, tags=found_tags
    )


@page_requires_role("admin")
@takes_any_query
def open_quest(name: str) -> Response:
    """Show a quest to change it, or to read it if the operator manages it."""
    org_id = current_organization().id
    with db.connection() as conn:
        # PostgreSQL stores no NUL, so no name has one.
        quest = store.find(conn, org_id, name) if "\0" not in name else None
        if quest is None:
            raise NotFound
        found_tags = tags.list_for_organization(conn, org_id, "", limit=MAX_TAGS)
    is_own = quest.managed_by == "organization"
    return render_staff_page(
        "quests/edit.html", active="quests", modules=("pages/quest.js",), quest=quest, is_own=is_own, tags=found_tags
    )
