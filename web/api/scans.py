"""Scans over HTTP: submit, look up, list."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from flask import Response, g, request
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from shared.codes import store as codes
from shared.errors import FieldError, Forbidden, Invalid, NotFound, OrganizationClosed
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.infra.message_sender import background_sender
from shared.infra.timestamps import format_rfc3339
from shared.infra.tracing import tracing
from shared.messages import ScansAccepted
from shared.organizations import members
from shared.organizations import store as organizations
from shared.organizations.branding import logo_path
from shared.organizations.rules import includes_role
from shared.scans import store
from shared.scans.rules import MESSAGES, Coordinates, Reason
from shared.scans.store import NewScan, StoredScan
from shared.visits.user_agents import device_kind
from web.http.auth import current_caller, requires_login, requires_login_or_key, requires_self
from web.http.credentials import Caller
from web.http.idempotency import HEADER, idempotency_key
from web.http.pagination import InvalidCursor, PageQuery, decode_cursor, encode_cursor
from web.http.responses import json_response
from web.http.schemas import Body, FiniteFloat, Id, Latitude, Longitude, ResponseModel, Timestamp
from web.http.settings import current_settings
from web.realtime.fanout import current_fanout
from web.realtime.verdict_waiters import Waiter, preferred_wait

api = APIBlueprint("scans", __name__, abp_tags=[Tag(name="Scans")])

NOT_YOUR_OWN = "player_id must be your own."


class ScanPath(Body):
    scan_id: Id


class PlayerPath(Body):
    player_id: Id


class CodePath(Body):
    code: str


class ScanBody(Body):
    """A scan: player, code and, if the client knows them, coordinates and time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "player_id": "0197a6b0-0000-7000-8000-000000000000",
                    "qr_code": "spy123",
                    "latitude": 52.3731,
                    "longitude": 4.8926,
                    "accuracy": 12.5,
                    "scanned_at": "2026-02-12T10:00:00Z",
                    "nonce": "b7c1e2",
                }
            ]
        }
    )

    player_id: Id
    qr_code: Annotated[
        str,
        StringConstraints(min_length=1, max_length=2048),
        Field(description="Code text or code URL; of a rotating code, the whole URL"),
    ]
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    accuracy: Annotated[FiniteFloat, Field(ge=0, description="Radius of 68 % confidence, in meters")] | None = None
    scanned_at: Timestamp | None = Field(None, description="When the player scanned; by default the time of receipt")
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="Identifies the scan for retries; the same as `Idempotency-Key`"
    )

    @model_validator(mode="after")
    def _both_coordinates(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("Give latitude and longitude together.")
        return self

    @property
    def coordinates(self) -> Coordinates | None:
        if self.latitude is None or self.longitude is None:
            return None
        return Coordinates(self.latitude, self.longitude)


class ScanAcceptedResponse(ResponseModel):
    """A scan that has no verdict yet. `result_url` is the path at which it appears."""

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
    """A scan and, once it is settled, its verdict. Fields that do not apply are left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scan_id": "0197a6b0-0000-7000-8000-000000000001",
                    "player_id": "0197a6b0-0000-7000-8000-000000000000",
                    "qr_code": "spy123",
                    "status": "success",
                    "encounter_type": "item_drop",
                    "reward": "gem",
                    "quantity": 1,
                    "org_id": "0197a6b0-0000-7000-8000-000000000003",
                    "scanned_at": "2026-02-12T10:00:00Z",
                    "received_at": "2026-02-12T10:00:01Z",
                    "settled_at": "2026-02-12T10:00:01.050000Z",
                }
            ]
        }
    )

    scan_id: Id
    player_id: Id
    qr_code: str
    status: Literal["pending", "success", "failure", "held", "annulled"]
    reason: Reason | None = None
    message: str | None = None
    encounter_type: Literal["item_drop", "encounter", "transportation"] | None = None
    reward: str | None = None
    quantity: int | None = None
    org_id: Id | None = Field(None, description="Issuer of the reward")
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
    reason: Reason | None
    description: str | None = Field(description="Text of the code for people; null: no such code")
    reward: str | None = Field(description="The item that the scan, or its solved puzzle, gave; null: none")
    quantity: int | None = Field(description="Number of items; null: none")


class HistoryResponse(ResponseModel):
    scans: list[HistoryEntryResponse]
    next_cursor: str | None


class InventoryItemResponse(ResponseModel):
    """The balance of one item of one issuer. Equal names of two issuers are two items."""

    item: str
    quantity: int
    org_id: Id | None = Field(description="Issuer of the item; null: quests of the installation")
    organization: str | None = Field(description="Name of the issuer; null: quests of the installation, or erased")
    logo_url: str | None = Field(
        description="Logo of the issuer, or null", examples=["/b/city-museum/logo?v=9f86d081884c7d65"]
    )
    color_light: str | None = Field(description="Color of the issuer on light pages, or null", examples=["#8F6400"])
    color_dark: str | None = Field(description="Color of the issuer on dark pages, or null", examples=["#F2A900"])


class InventoryResponse(ResponseModel):
    items: list[InventoryItemResponse]


class PublicCodeResponse(ResponseModel):
    """The fields of a code that players see. Never its coordinates."""

    code: str
    description: str
    scan_type: Literal["item_drop", "encounter", "transportation"] | None
    requires_location: bool


@api.post("/scan", responses={200: ScanResponse, 202: ScanAcceptedResponse, 403: None, 404: None, 409: None})
@requires_login_or_key("scan")
def submit_scan(body: ScanBody) -> Response:
    """Submit a scan

    Returns 202 once the scan is stored. With `Prefer: wait=N`, returns 200 with the verdict if it is ready within N
    seconds, at most 10. A player submits scans for themselves. An API key with the scope `scan` submits scans for any
    player, of codes of its organization. A retry with the same `nonce` or `Idempotency-Key` returns the first scan,
    also if the retry adds `scanned_at`. The same nonce with another code or position is 409.
    """
    caller = current_caller()
    if not may_submit_for(caller, body.player_id):
        raise Forbidden(NOT_YOUR_OWN)
    wait_seconds = preferred_wait(request.headers.get("Prefer"), current_settings().scan_default_wait)
    scan = to_new_scan(body)
    scan_id = uuid7()
    with current_fanout().wait_for_verdict(scan_id, wait_seconds) as waiter:
        with db.connection() as conn, tracing.span("insert scan"):
            device = device_kind(request.headers.get("User-Agent"))
            accepted_id = store.accept(
                conn,
                scan,
                scan_id=scan_id,
                request_id=g.request_id,
                device=device,
                key=caller.key,
                extra_paths=current_settings().extra_code_path_prefixes,
            )
        if accepted_id == scan_id:
            background_sender.submit(ScansAccepted())
            settled = _await_verdict(scan_id, waiter)
            return _verdict_response(settled) if settled else _accepted_response(scan_id)
    # A retry, perhaps while the first request still waits.
    return _respond_to_retry(accepted_id, wait_seconds)


@api.get("/scan/<scan_id>", responses={200: ScanResponse})
@requires_login_or_key("scan")
def get_scan(path: ScanPath) -> Response:
    """Get a scan

    For its player, for analysts and above of the code's organization, and for the API key that submitted it. With
    `Prefer: wait=N`, waits up to N seconds, at most 10, for the verdict.
    """
    wait_seconds = preferred_wait(request.headers.get("Prefer"), 0)
    return _verdict_response(_find_settled(path.scan_id, wait_seconds))


@api.get("/player/<player_id>/history", responses={200: HistoryResponse})
@requires_self
def list_history(path: PlayerPath, query: PageQuery) -> dict[str, Any]:
    """List a player's scans

    For the player only. Newest first.
    """
    before = _history_position(query.cursor) if query.cursor else None
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
    """Get a player's inventory

    For the player only. One entry per issuer and item: the sum of its ledger entries. Only its issuer redeems an item.
    """
    with db.connection() as conn:
        items = store.list_inventory(conn, path.player_id)
    return {
        "items": [
            InventoryItemResponse(
                item=item.item,
                quantity=item.quantity,
                org_id=item.org_id,
                organization=item.organization,
                logo_url=logo_path(item.slug, item.logo_digest),
                color_light=item.color_light,
                color_dark=item.color_dark,
            ).model_dump(mode="json")
            for item in items
        ]
    }


@api.get("/qr/<code>", responses={200: PublicCodeResponse, 410: None})
@requires_login
def get_public_code(path: CodePath) -> dict[str, Any]:
    """Get a code by its text

    For any signed-in player. Returns what players may know of the code, never its coordinates. A text that the code had
    before a rename leads to it. 410 for the text of a deleted code, and if its organization is closed.
    """
    with db.connection() as conn:
        code = codes.find_by_code(conn, path.code)
        if code is None:
            raise NotFound
        if organizations.is_closed(conn, code.org_id):
            raise OrganizationClosed
    return PublicCodeResponse.model_validate(code).model_dump(mode="json")


def to_new_scan(body: ScanBody) -> NewScan:
    """Return the scan of a request. Raise Invalid if its Idempotency-Key cannot be its nonce."""
    key = idempotency_key()
    if key is not None and len(key) > 64:
        raise Invalid(FieldError(f"header.{HEADER}", "Use 1 to 64 characters. The header is the nonce of the scan."))
    if key is not None and body.nonce not in (None, key):
        raise Invalid(FieldError(f"header.{HEADER}", "Use the nonce of the body, or omit this header."))
    return NewScan(body.player_id, body.qr_code, body.coordinates, body.accuracy, body.scanned_at, body.nonce or key)


def may_submit_for(caller: Caller, player_id: UUID) -> bool:
    """Return whether the caller is this player or an API key. The store checks which codes the key may scan."""
    return caller.key is not None or caller.player_id == player_id


def _history_position(cursor: str) -> tuple[datetime, UUID]:
    at, scan_id = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(at), UUID(scan_id)
    except ValueError:
        raise InvalidCursor from None


def _find(scan_id: UUID) -> StoredScan:
    with db.connection() as conn:
        scan = store.find(conn, scan_id)
        if scan is None or not _may_read(conn, scan):
            raise NotFound
    return scan


def _may_read(conn: Conn, scan: StoredScan) -> bool:
    reader = current_caller()
    if reader.key is not None:
        return scan.api_key_id == reader.key.id
    if scan.player_id == reader.player_id:
        return True
    role = members.get_role(conn, scan.org_id, reader.id) if scan.org_id else None
    return role is not None and includes_role(role, "analyst")


def _find_settled(scan_id: UUID, wait_seconds: float) -> StoredScan:
    """Return the scan, settled if its verdict is ready in time."""
    with current_fanout().wait_for_verdict(scan_id, wait_seconds) as waiter:
        scan = _find(scan_id)
        if not scan.is_settled:
            scan = _await_verdict(scan_id, waiter) or scan
    return scan


def _await_verdict(scan_id: UUID, waiter: Waiter | None) -> StoredScan | None:
    """Return the scan once it is settled. None if the request does not wait, or on timeout."""
    if waiter is None:
        return None
    is_waiting = True
    while is_waiting:
        is_waiting = waiter()
        if waiter.scan is not None:
            return waiter.scan
        # After a timeout too: the message with the verdict may have been lost.
        with db.connection() as conn:
            scan = store.find(conn, scan_id)
        if scan is not None and scan.is_settled:
            return scan
    return None


def _respond_to_retry(scan_id: UUID, wait_seconds: float) -> Response:
    scan = _find_settled(scan_id, wait_seconds)
    return _verdict_response(scan) if scan.is_settled and wait_seconds > 0 else _accepted_response(scan_id)


def _accepted_response(scan_id: UUID) -> Response:
    url = f"/scan/{scan_id}"
    payload = {"scan_id": str(scan_id), "status": "pending", "result_url": url}
    return json_response(payload, 202, Location=url, Retry_After="1")


def _verdict_response(scan: StoredScan) -> Response:
    # Made by hand: the model of the response takes three times as long.
    fields = {
        "scan_id": str(scan.scan_id),
        "player_id": str(scan.player_id),
        "qr_code": scan.qr_code,
        "status": scan.status,
        "reason": scan.reason,
        "message": MESSAGES.get(scan.reason or ""),
        "encounter_type": scan.encounter_type if scan.is_settled else None,
        **(scan.outcome if scan.status == "success" else {}),
        "scanned_at": format_rfc3339(scan.scan_time),
        "received_at": format_rfc3339(scan.received_at),
        "settled_at": format_rfc3339(scan.settled_at) if scan.settled_at else None,
    }
    response = json_response({name: value for name, value in fields.items() if value is not None})
    response.headers["Content-Location"] = f"/scan/{scan.scan_id}"
    if preferred_wait(request.headers.get("Prefer"), 0) > 0:
        response.headers["Preference-Applied"] = "wait"
    return response
