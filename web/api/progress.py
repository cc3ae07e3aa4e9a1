"""Progress of players over HTTP, for staff: a table of players and codes, as JSON and as CSV."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from shared.errors import FieldError, Invalid, NotFound
from shared.imports.csv_cells import format_cell
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import yielding
from shared.infra.read_replica import reading
from shared.infra.timestamps import format_rfc3339
from shared.organizations.rules import includes_role
from shared.reviews import progress
from shared.reviews.progress import CodeColumn, PlayerProgress
from web.http.auth import current_role, requires_role
from web.http.csv_responses import Rows, csv_openapi, csv_response
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import CsvQuery, Id, OrganizationPath, Query, ResponseModel, Timestamp

api = APIBlueprint("progress", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Analytics")])

CSV_PAGE_SIZE = 100
"""Players of a CSV file that are in memory at once."""
CSV = csv_openapi(
    "The same table: player_id, for admins username, then one column for each code, named after its text. A cell is "
    "empty where JSON has null",
    "player_id,username,spy123,spy124\r\n0197a6b0-0000-7000-8000-000000000000,ada,2026-02-12T10:00:00Z,\r\n",
)


class ColumnsQuery(Query):
    """The codes of the table: those of a tag or of a quest. Without both, all codes of the organization."""

    tag: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="Tag of the codes"
    )
    quest: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="Name of a quest that scans of the organization's codes advance", examples=["harbor-trail"]
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.tag is not None and self.quest is not None:
            raise ValueError("Give either tag or quest.")
        return self


class ProgressQuery(PageQuery, ColumnsQuery):
    """The codes of the table, and the page of its players."""


class ProgressCsvQuery(CsvQuery, ColumnsQuery):
    """The codes of the table, and options of the file."""


class CodeColumnResponse(ResponseModel):
    qr_id: Id
    code: str


class PlayerProgressResponse(ResponseModel):
    """A player's row. `times` has one entry for each column."""

    player_id: Id
    username: str | None = Field(None, description="Only for admins and owners; otherwise absent")
    times: list[Timestamp | None] = Field(
        description="Time of the player's first successful scan of each code; null: none",
        examples=[["2026-02-12T10:00:00Z", None]],
    )


class ProgressResponse(ResponseModel):
    """A table of players and codes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "columns": [
                        {"qr_id": "0197a6b0-0000-7000-8000-000000000002", "code": "spy123"},
                        {"qr_id": "0197a6b0-0000-7000-8000-000000000003", "code": "spy124"},
                    ],
                    "rows": [
                        {
                            "player_id": "0197a6b0-0000-7000-8000-000000000000",
                            "username": "ada",
                            "times": ["2026-02-12T10:00:00Z", None],
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    columns: list[CodeColumnResponse] = Field(description="Codes by text, or in the order of the quest's steps")
    rows: list[PlayerProgressResponse] = Field(description="Players with at least one successful scan of these codes")
    next_cursor: str | None


@api.get("/progress", responses={200: ProgressResponse})
@requires_role("analyst")
def get_progress(path: OrganizationPath, query: ProgressQuery) -> dict[str, Any]:
    """Get the progress of players

    Needs the role analyst. One row per player, one column per code: the time of the player's first successful scan.
    Held and annulled scans have none. The codes are those of a tag, or of a quest that the organization's scans
    advance, at most 500. Only admins and owners get usernames. 404 for any other quest.
    """
    after = decode_id(query.cursor)
    with db.connection() as conn:
        columns = _columns(conn, path.org_id, query)
        players = progress.list_players(conn, columns, limit=query.limit + 1, after=after)
    page, next_cursor = paginate(players, query.limit, lambda player: (str(player.player_id),))
    is_admin = includes_role(current_role(), "admin")
    return {
        "columns": [{"qr_id": str(column.qr_id), "code": column.code} for column in columns],
        "rows": [_to_row(player, len(columns), is_admin=is_admin) for player in yielding(page)],
        "next_cursor": next_cursor,
    }


@api.get("/progress.csv", responses=CSV)
@requires_role("analyst")
def download_progress(path: OrganizationPath, query: ProgressCsvQuery) -> Response:
    """Download the progress of players as CSV

    Needs the role analyst. The rows and columns of the same table for all players.
    """
    with db.connection() as conn:
        columns = _columns(conn, path.org_id, query)
    is_admin = includes_role(current_role(), "admin")
    header = ["player_id", *(["username"] if is_admin else []), *(format_cell(column.code) for column in columns)]

    def read_pages() -> Iterator[Rows]:
        return _read_pages(columns, is_admin=is_admin)

    return csv_response(header, read_pages, query, filename="progress.csv")


def _columns(conn: Conn, org_id: UUID, query: ColumnsQuery) -> list[CodeColumn]:
    """Return the codes of the table. Raise NotFound for a quest of others, and Invalid for too many codes."""
    if query.quest is not None and not progress.has_quest(conn, org_id, query.quest):
        raise NotFound
    columns = progress.list_codes(conn, org_id, tag=query.tag, quest=query.quest)
    if len(columns) > progress.MAX_CODES:
        field = "quest" if query.quest is not None else "tag"
        raise Invalid(FieldError(f"query.{field}", f"Use a {field} with at most {progress.MAX_CODES} codes."))
    return columns


def _read_pages(columns: Sequence[CodeColumn], *, is_admin: bool) -> Iterator[Rows]:
    after = None
    while True:
        page = reading(progress.list_players, columns, limit=CSV_PAGE_SIZE, after=after)
        rows = (_to_row(player, len(columns), is_admin=is_admin) for player in page)
        yield ([format_cell(cell) for cell in _cells(row)] for row in rows)
        if len(page) < CSV_PAGE_SIZE:
            return
        after = page[-1].player_id


def _cells(row: dict[str, Any]) -> list[str | None]:
    *player, times = row.values()
    return [*player, *times]


def _to_row(player: PlayerProgress, columns: int, *, is_admin: bool) -> dict[str, Any]:
    times: list[str | None] = [None] * columns
    for number, time in zip(player.columns, player.times, strict=True):
        times[number - 1] = format_rfc3339(time)
    name = {"username": player.username} if is_admin else {}
    return {"player_id": str(player.player_id), **name, "times": times}
