"""Scans over HTTP: handed in, looked up, listed."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from flask import Response, g, request
from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints, model_validator

from shared.codes import store as codes
from shared.errors import FieldError, Forbidden, Invalid, NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.infra.message_sender import background_sender
from shared.messages import ScansPending
from shared.organizations import store as organizations
from shared.organizations.rules import includes_role
from shared.scans import store
from shared.scans.rules import MESSAGES, Coordinates
from shared.scans.store import NewScan, StoredScan
from shared.settings import settings
from shared.visits.user_agents import device_kind
from web.http.auth import current_caller, requires_login, requires_login_or_key, requires_self
from web.http.idempotency import HEADER, idempotency_key
from web.http.pagination import InvalidCursor, PageQuery, decode_cursor, encode_cursor
from web.http.responses import json_response
from web.http.schemas import Body, FiniteFloat, Id, Latitude, Longitude, ResponseModel, Timestamp
from web.realtime.verdict_waiters import Waiter, preferred_wait
from web.realtime.websockets import fanout

api = APIBlueprint("scans", __name__, abp_tags=[Tag(name="Scans")])


class ScanPath(Body):
    scan_id: Id


class PlayerPath(Body):
    player_id: Id


class CodePath(Body):
    code: str


class ScanBody(Body):
    """A scan: who, what and, as far as the client knows, where and when."""

    player_id: Id
    qr_code: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    accuracy: Annotated[FiniteFloat, Field(ge=0, description="Radius of 68 % confidence, metres")] | None = None
    scanned_at: Timestamp | None = None
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _both_coordinates(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude come together or not at all")
        return self


class ScanAcceptedResponse(ResponseModel):
    scan_id: Id
    status: Literal["pending"]
    result_url: str


class EncounterResponse(ResponseModel):
    id: Id
    puzzle_type: Literal["decryption", "pattern", "hacking"]
    difficulty_level: int
    data: dict[str, Any]


class DestinationResponse(ResponseModel):
    code: str
    description: str | None


class ScanResponse(ResponseModel):
    """A scan and, once it is settled, its verdict; fields that do not apply are left out."""

    scan_id: Id
    player_id: Id
    qr_code: str
    status: Literal["pending", "success", "failure", "held", "annulled"]
    reason: str | None = None
    message: str | None = None
    encounter_type: Literal["item_drop", "encounter", "transportation"] | None = None
    reward: str | None = None
    quantity: int | None = None
    encounter: EncounterResponse | None = None
    destination: DestinationResponse | None = None
    scanned_at: Timestamp
    received_at: Timestamp
    settled_at: Timestamp | None = None


class HistoryEntryResponse(ResponseModel):
    scan_id: Id
    qr_code: str
    scan_time: Timestamp
    success: bool | None
    status: Literal["pending", "success", "failure", "held", "annulled"]
    reason: str | None


class HistoryResponse(ResponseModel):
    scans: list[HistoryEntryResponse]
    next_cursor: str | None


class InventoryItemResponse(ResponseModel):
    item: str
    quantity: int


class InventoryResponse(ResponseModel):
    items: list[InventoryItemResponse]


class PublicCodeResponse(ResponseModel):
    """What a player may know of a code; never where it is."""

    code: str
    description: str
    scan_type: Literal["item_drop", "encounter", "transportation"] | None
    requires_location: bool


@api.post("/scan", responses={200: ScanResponse, 202: ScanAcceptedResponse, 403: None, 404: None, 409: None})
@requires_login_or_key("scan")
def submit_scan(body: ScanBody) -> Response:
    """Accept a scan: 202 once it is committed; with `Prefer: wait=N`, 200 and the verdict if it falls in time.

    A player scans for themselves; an API key for any player (404: there is no such one), codes of its organization.
    """
    key = current_caller().key
    if key is None and body.player_id != current_caller().player_id:
        raise Forbidden("player_id is not yours.")
    seconds = preferred_wait(request.headers.get("Prefer"), settings().scan_default_wait)
    scan = to_new_scan(body)
    scan_id = uuid7()
    with fanout.wait_for_verdict(scan_id, seconds) as wait:
        with db.connection() as conn:
            device = device_kind(request.headers.get("User-Agent"))
            accepted = store.accept(conn, scan, scan_id=scan_id, request_id=g.request_id, device=device, key=key)
        if accepted == scan_id:
            background_sender.submit(ScansPending())
            settled = _await_verdict(scan_id, wait)
            return _verdict(settled) if settled else _accepted(scan_id)
    return _respond_to_retry(accepted, seconds)  # a retry, perhaps while the first request still waits


@api.get("/scan/<scan_id>", responses={200: ScanResponse})
@requires_login_or_key("scan")
def get_scan(path: ScanPath) -> Response:
    """A scan, for its player, for staff of the code's organization, and for the API key that handed it in.
    `Prefer: wait=N` waits for the verdict."""
    seconds = preferred_wait(request.headers.get("Prefer"), 0)
    with fanout.wait_for_verdict(path.scan_id, seconds) as wait:
        found = _find(path.scan_id)
        if not found.is_settled:
            found = _await_verdict(path.scan_id, wait) or found
    return _verdict(found)


@api.get("/player/<player_id>/history", responses={200: HistoryResponse})
@requires_self
def list_history(path: PlayerPath, query: PageQuery) -> dict[str, Any]:
    """The player's scans, newest first, page by page."""
    before = _history_place(query.cursor) if query.cursor else None
    with db.connection() as conn:
        scans = store.list_history(conn, path.player_id, limit=query.limit + 1, before=before)
    page, more = scans[: query.limit], scans[query.limit :]
    return HistoryResponse(
        scans=[HistoryEntryResponse.model_validate(scan) for scan in page],
        next_cursor=encode_cursor(page[-1].scan_time.isoformat(), str(page[-1].scan_id)) if more else None,
    ).model_dump(mode="json")


@api.get("/player/<player_id>/inventory", responses={200: InventoryResponse})
@requires_self
def get_inventory(path: PlayerPath) -> dict[str, Any]:
    """What the player holds: the sums of the ledger."""
    with db.connection() as conn:
        held = store.list_inventory(conn, path.player_id)
    return {"items": [{"item": item, "quantity": quantity} for item, quantity in held]}


@api.get("/qr/<code>", responses={200: PublicCodeResponse})
@requires_login
def get_public_code(path: CodePath) -> dict[str, Any]:
    """What a player may know of a code."""
    with db.connection() as conn:
        found = codes.find_by_code(conn, path.code)
    if found is None:
        raise NotFound
    return PublicCodeResponse.model_validate(found).model_dump(mode="json")


def to_new_scan(body: ScanBody) -> NewScan:
    """The body as the store takes it; Idempotency-Key is another spelling of the nonce."""
    key = idempotency_key()
    if key is not None and len(key) > 64:
        raise Invalid(FieldError(f"header.{HEADER}", "is the scan's nonce here: 1-64 characters"))
    if key is not None and body.nonce not in (None, key):
        raise Invalid(FieldError(f"header.{HEADER}", "names another nonce than the body"))
    place = None
    if body.latitude is not None and body.longitude is not None:
        place = Coordinates(body.latitude, body.longitude)
    return NewScan(body.player_id, body.qr_code, place, body.accuracy, body.scanned_at, body.nonce or key)


def _history_place(cursor: str) -> tuple[datetime, UUID]:
    at, scan_id = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(at), UUID(scan_id)
    except ValueError:
        raise InvalidCursor from None


def _find(scan_id: UUID) -> StoredScan:
    with db.connection() as conn:
        found = store.find(conn, scan_id)
        if found is None or not _may_read(conn, found):
            raise NotFound
    return found


def _may_read(conn: Conn, scan: StoredScan) -> bool:
    reader = current_caller()
    if reader.key is not None:
        return scan.api_key_id == reader.key.id
    if scan.player_id == reader.player_id:
        return True
    role = organizations.get_role(conn, scan.org_id, reader.id) if scan.org_id else None
    return role is not None and includes_role(role, "analyst")


def _await_verdict(scan_id: UUID, wait: Waiter | None) -> StoredScan | None:
    """The scan once it is settled; None if nobody waits, or the time ran out before it was."""
    if wait is None:
        return None
    waiting = True
    while waiting:
        waiting = wait()
        if wait.found is not None:
            return wait.found
        with db.connection() as conn:  # also when the time is over: the wake may have been lost
            found = store.find(conn, scan_id)
        if found is not None and found.is_settled:
            return found
    return None


def _respond_to_retry(scan_id: UUID, seconds: float) -> Response:
    with fanout.wait_for_verdict(scan_id, seconds) as wait:
        found = _find(scan_id)
        if not found.is_settled:
            found = _await_verdict(scan_id, wait) or found
    return _verdict(found) if found.is_settled and seconds > 0 else _accepted(scan_id)


def _accepted(scan_id: UUID) -> Response:
    url = f"/scan/{scan_id}"
    told = {"scan_id": str(scan_id), "status": "pending", "result_url": url}
    return json_response(told, 202, Location=url, Retry_After="1")


def _verdict(scan: StoredScan) -> Response:
    given = scan.outcome if scan.status == "success" else {}
    verdict = ScanResponse.model_validate(
        {
            "scan_id": scan.scan_id,
            "player_id": scan.player_id,
            "qr_code": scan.qr_code,
            "status": scan.status,
            "reason": scan.reason,
            "message": MESSAGES.get(scan.reason or ""),
            "encounter_type": scan.encounter_type if scan.is_settled else None,
            "scanned_at": scan.scan_time,
            "received_at": scan.received_at,
            "settled_at": scan.settled_at,
            **given,
        }
    )
    told = {name: value for name, value in verdict.model_dump(mode="json").items() if value is not None}
    response = json_response(told)
    response.headers["Content-Location"] = f"/scan/{scan.scan_id}"
    if preferred_wait(request.headers.get("Prefer"), 0) > 0:
        response.headers["Preference-Applied"] = "wait"
    return response
