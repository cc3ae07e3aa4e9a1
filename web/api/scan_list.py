"""The scans of an organization over HTTP, for staff: a list with filters, as JSON and as CSV, and a count."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints

from shared.imports.csv_cells import format_cell
from shared.infra import db
from shared.infra.read_replica import reading
from shared.organizations.rules import includes_role
from shared.reviews import scan_counts, scan_list
from shared.reviews.scan_list import ScanFilter, ScanPosition
from shared.reviews.store import Review
from shared.scans.rules import Reason, ScanStatus
from web.http.auth import current_role, requires_role
from web.http.csv_responses import Rows, csv_openapi, csv_response
from web.http.pagination import InvalidCursor, PageQuery, decode_cursor, paginate
from web.http.schemas import CsvQuery, Id, OrganizationPath, Query, ResponseModel, Timestamp

api = APIBlueprint(
    "scan_list", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Reviews of scans")]
)
HIDDEN_FROM_ANALYSTS = ("username", "latitude", "longitude", "accuracy", "distance_m", "reviewed_by")
"""They are null for an analyst: names, and where players were."""
PAGE_SIZE = 200
"""Scans of a CSV file that are in memory at once: each may have a puzzle of a mebibyte."""


class ScanConditionsQuery(Query):
    status: Literal["any", "pending", "success", "failure", "held", "annulled"] = Field(
        "held", description="Status of the scans; `any` lists all"
    )
    reason: Reason | None = Field(None, description="Why the scans failed or are held")
    code: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = Field(None, description="Code text")
    tag: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="Tag of the codes"
    )
    player: Id | None = Field(None, description="Id of the player")
    since: Timestamp | None = Field(None, description="Earliest time of the scan")
    until: Timestamp | None = Field(None, description="The times of the scans are before this one")

    def conditions(self) -> ScanFilter:
        status = None if self.status == "any" else self.status
        return ScanFilter(status, self.reason, self.code, self.tag, self.player, self.since, self.until)


class ScansQuery(PageQuery, ScanConditionsQuery):
    """Conditions on scans, and the page of their list."""


class ScansCsvQuery(CsvQuery, ScanConditionsQuery):
    """Conditions on scans, and options of the file."""


class ReviewResponse(ResponseModel):
    """A scan as staff see it, with distances in meters. `reward` and `quantity` are what it gives, or would give.

    For an analyst, the name of the player, the position and the reviewer are null.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scan_id": "0197a6b0-0000-7000-8000-000000000001",
                    "player_id": "0197a6b0-0000-7000-8000-000000000000",
                    "username": "ada",
                    "qr_id": "0197a6b0-0000-7000-8000-000000000002",
                    "qr_code": "spy123",
                    "description": "Poster at the harbor",
                    "encounter_type": "item_drop",
                    "status": "held",
                    "reason": "impossible_travel",
                    "held_for": "impossible_travel",
                    "reward": "gem",
                    "quantity": 1,
                    "latitude": 38.7075,
                    "longitude": -9.1364,
                    "accuracy": 12.5,
                    "distance_m": 4.2,
                    "scanned_at": "2026-02-12T10:00:00Z",
                    "received_at": "2026-02-12T10:00:01Z",
                    "late": False,
                    "device": "phone",
                    "settled_at": "2026-02-12T10:00:01.050000Z",
                    "reviewed_by": None,
                    "reviewed_at": None,
                }
            ]
        }
    )

    scan_id: Id
    player_id: Id
    username: str | None
    qr_id: Id
    qr_code: str
    description: str = Field(description="Of the code, as it is now")
    encounter_type: Literal["item_drop", "encounter", "transportation"] | None
    status: ScanStatus
    reason: Reason | None
    held_for: Reason | None = Field(description="Why it was held, also after a review")
    reward: str | None
    quantity: int | None
    latitude: float | None
    longitude: float | None
    accuracy: float | None
    distance_m: float | None
    scanned_at: Timestamp
    received_at: Timestamp
    late: bool = Field(description="It arrived more than a minute after its own time, as scans made offline do")
    device: Literal["phone", "tablet", "desktop", "other"] | None = Field(
        description="Kind of device that submitted it; null: unknown"
    )
    settled_at: Timestamp | None
    reviewed_by: Id | None = Field(
        description="The player who released or annulled it; null: an operator, or no review"
    )
    reviewed_at: Timestamp | None


class ReviewsResponse(ResponseModel):
    items: list[ReviewResponse]
    next_cursor: str | None


class HeldCountResponse(ResponseModel):
    held: int = Field(description="Scans that wait for a review", examples=[3])


COLUMNS = tuple(ReviewResponse.model_fields)
CSV = csv_openapi(
    f"The scans of the list as rows of {', '.join(COLUMNS)}. A field is empty where JSON has null",
    f"{','.join(COLUMNS)}\r\n0197a6b0-0000-7000-8000-000000000001,0197a6b0-0000-7000-8000-000000000000,ada,"
    "0197a6b0-0000-7000-8000-000000000002,spy123,Poster at the harbor,item_drop,success,,,gem,1,52.3731,4.8926,12.5,"
    "4.2,2026-02-12T10:00:00Z,2026-02-12T10:00:01Z,false,phone,2026-02-12T10:00:01.050000Z,,\r\n",
)


@api.get("/scans", responses={200: ReviewsResponse})
@requires_role("analyst")
def list_scans(path: OrganizationPath, query: ScansQuery) -> dict[str, Any]:
    """List scans

    Needs the role analyst. Returns scans of the organization's codes, newest first by the time of the scan; by default
    the held ones. Conditions combine. For an analyst, names and positions are null.
    """
    before = _position(query.cursor) if query.cursor else None
    with db.connection() as conn:
        scans = scan_list.list_scans(conn, path.org_id, query.conditions(), limit=query.limit + 1, before=before)
    page, next_cursor = paginate(scans, query.limit, lambda scan: (scan.scanned_at.isoformat(), str(scan.scan_id)))
    is_admin = includes_role(current_role(), "admin")
    return {"items": [to_response(scan, is_admin=is_admin) for scan in page], "next_cursor": next_cursor}


@api.get("/scans.csv", responses=CSV)
@requires_role("analyst")
def download_scans(path: OrganizationPath, query: ScansCsvQuery) -> Response:
    """Download scans as CSV

    Needs the role analyst. One row per scan of the list with the same conditions, newest first; by default the held
    ones. Text that a spreadsheet would compute starts with a quote. For an analyst, names and positions are empty.
    """
    conditions, is_admin = query.conditions(), includes_role(current_role(), "admin")

    def read_pages() -> Iterator[Rows]:
        return _read_pages(path.org_id, conditions, is_admin=is_admin)

    return csv_response(COLUMNS, read_pages, query, filename="scans.csv")


@api.get("/scans/held/count", responses={200: HeldCountResponse})
@requires_role("admin")
def get_held_count(path: OrganizationPath) -> dict[str, Any]:
    """Get the number of held scans

    Needs the role admin.
    """
    with db.connection() as conn:
        return {"held": scan_counts.count_held(conn, path.org_id)}


def to_response(review: Review, *, is_admin: bool = True) -> dict[str, Any]:
    """Return the scan for staff."""
    fields = vars(review) | {
        "held_for": review.held_for,
        "reward": review.outcome.get("reward"),
        "quantity": review.outcome.get("quantity"),
        "late": review.is_late,
    }
    hidden = {} if is_admin else dict.fromkeys(HIDDEN_FROM_ANALYSTS)
    return ReviewResponse.model_validate(fields | hidden).model_dump(mode="json")


def _read_pages(org_id: UUID, conditions: ScanFilter, *, is_admin: bool) -> Iterator[Rows]:
    before = None
    while True:
        page = reading(scan_list.list_scans, org_id, conditions, limit=PAGE_SIZE, before=before)
        yield ([format_cell(value) for value in to_response(scan, is_admin=is_admin).values()] for scan in page)
        if len(page) < PAGE_SIZE:
            return
        before = ScanPosition(page[-1].scanned_at, page[-1].scan_id)


def _position(cursor: str) -> ScanPosition:
    at, scan_id = decode_cursor(cursor, 2)
    try:
        scan_time = datetime.fromisoformat(at)
        if scan_time.tzinfo is None:
            raise InvalidCursor
        return ScanPosition(scan_time, UUID(scan_id))
    except ValueError:
        raise InvalidCursor from None
