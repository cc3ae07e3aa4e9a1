"""The progress of players: a table of players and codes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask import Flask, Response, request

from shared.codes import tags
from shared.errors import NotFound
from shared.infra import db
from shared.reviews import progress
from shared.reviews.progress import CodeColumn, PlayerProgress
from web.http.auth import current_organization, page_requires_role
from web.http.pagination import InvalidCursor, decode_id, paginate
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page

ROWS = 50
MAX_COLUMNS = 100
"""Codes that a browser shows. The CSV file has all of them."""
MAX_CHOICES = 200


@dataclass(frozen=True)
class Row:
    """A player, and the time of each column that is shown. `completed` counts all columns."""

    player: PlayerProgress
    completed: int
    times: list[datetime | None]


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/progress", "staff.open_progress", open_progress)


@page_requires_role("analyst")
@takes_any_query
def open_progress() -> Response:
    """Show when each player first scanned each code of a tag or of a quest. `of` is `tag:…` or `quest:…`."""
    org_id = current_organization().id
    kind, _, name = request.args.get("of", "").partition(":")
    tag, quest = (name if kind == "tag" and name else None), (name if kind == "quest" and name else None)
    with db.connection() as conn:
        if quest is not None and not progress.has_quest(conn, org_id, quest):
            raise NotFound
        columns = progress.list_codes(conn, org_id, tag=tag, quest=quest)
        is_too_large = len(columns) > progress.MAX_CODES
        players = [] if is_too_large else progress.list_players(conn, columns, limit=ROWS + 1, after=_after())
        known_tags = tags.list_for_organization(conn, org_id, "", limit=MAX_CHOICES)
        quests = progress.list_quests(conn, org_id, limit=MAX_CHOICES)
    page, cursor = paginate(players, ROWS, lambda player: (str(player.player_id),))
    return render_staff_page(
        "scans/progress.html",
        active="progress",
        modules=("pages/progress.js",),
        tag=tag,
        quest=quest,
        tags=known_tags,
        quests=quests,
        columns=columns,
        shown=columns[:MAX_COLUMNS],
        is_too_large=is_too_large,
        max_codes=progress.MAX_CODES,
        rows=[_to_row(player, columns[:MAX_COLUMNS]) for player in page],
        cursor=cursor,
    )


def _after() -> UUID | None:
    try:
        return decode_id(request.args.get("cursor"))
    except InvalidCursor:
        return None


def _to_row(player: PlayerProgress, shown: list[CodeColumn]) -> Row:
    times: list[datetime | None] = [None] * len(shown)
    for number, time in zip(player.columns, player.times, strict=True):
        if number <= len(shown):
            times[number - 1] = time
    return Row(player, len(player.columns), times)
