"""Scans made offline, submitted in batches over HTTP."""

from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, g, request
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, SkipValidation, StringConstraints, ValidationError

from shared.errors import FieldError, Invalid, NonceReused, PlayerNotFound
from shared.infra import strict_json
from shared.infra.message_sender import background_sender
from shared.infra.tracing import tracing
from shared.messages import ScansAccepted
from shared.scans import batches
from shared.scans.batches import MAX_SCANS, AcceptResult
from shared.scans.store import NewScan
from shared.visits.user_agents import device_kind
from web.api.scans import NOT_YOUR_OWN, ScanBody, may_submit_for
from web.http.auth import current_caller, requires_login_or_key
from web.http.idempotency import connection, documents_idempotency_key, run_once
from web.http.problems import field_errors_of
from web.http.responses import json_response
from web.http.schemas import Body, Id, ResponseModel, Timestamp, checks_list
from web.http.settings import current_settings

api = APIBlueprint("scan_batches", __name__, abp_tags=[Tag(name="Scans")])


class BatchScanBody(ScanBody):
    """A scan made offline."""

    scanned_at: Timestamp = Field(description="When the player scanned, by the client's clock")
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="Identifies the scan for retries, also if it was sent live"
    )


class BatchBody(Body):
    """Scans made offline. Each is validated alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sent_at": "2026-02-12T11:30:00Z",
                    "scans": [
                        {
                            "player_id": "0197a6b0-0000-7000-8000-000000000000",
                            "qr_code": "spy123",
                            "scanned_at": "2026-02-12T10:00:00Z",
                            "nonce": "b7c1e2",
                        }
                    ],
                }
            ]
        }
    )

    sent_at: Timestamp = Field(
        description="When the client sends this request, by the same clock as `scanned_at`: it corrects that clock"
    )
    scans: Annotated[list[SkipValidation[BatchScanBody]], Field(max_length=MAX_SCANS)] = Field(
        description=f"Up to {MAX_SCANS} scans, of one or several players"
    )


class ItemErrorResponse(ResponseModel):
    loc: str = Field(description="Path of the wrong field, with the index of the scan", examples=["body.scans.3.nonce"])
    message: str = Field(description="What is wrong, and what is allowed")


class ItemResponse(ResponseModel):
    """What became of one scan. `scan_id` if it is stored, `errors` if it is refused."""

    nonce: str | None = Field(description="As submitted; null if the scan has none")
    scan_id: Id | None = Field(None, description="The stored scan, whose verdict is at `/scan/{scan_id}`")
    status: Literal["pending", "refused"] = Field(description="Whether the scan is stored; its verdict comes later")
    errors: list[ItemErrorResponse] | None = Field(None, description="Why the scan is refused")


class BatchResponse(ResponseModel):
    """One entry per submitted scan, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scans": [
                        {"nonce": "b7c1e2", "scan_id": "0197a6b0-0000-7000-8000-000000000001", "status": "pending"},
                        {
                            "nonce": "b7c1e3",
                            "status": "refused",
                            "errors": [
                                {"loc": "body.scans.1.latitude", "message": "Use a number of at most 90."},
                            ],
                        },
                    ]
                }
            ]
        }
    )

    scans: list[ItemResponse]


@api.post("/scans/batch", responses={202: BatchResponse, 403: None, 409: None})
@documents_idempotency_key
@checks_list("scans")
@requires_login_or_key("scan")
def submit_batch(body: BatchBody) -> Response:
    """Submit scans made offline

    Up to 100 scans, each with `nonce` and `scanned_at`. Returns 202 once they are stored, with one entry per scan, in
    order. A malformed scan is refused alone: its entry has `errors`, with its index in `loc`. A scan that the caller
    could not submit to `POST /scan` is refused in the same way.

    The time from `scanned_at` to `sent_at` is the age of a scan, so a wrong clock does no harm. Set `sent_at` anew for
    each attempt. A retry changes nothing: each entry names the first scan with its nonce, also if that scan was sent
    live, with or without `scanned_at`. The same nonce with another code or position is refused. Scans of one player are
    judged in the order of their own time. A batch counts for the rate limit like one request for each five scans.
    """
    response = run_once(current_caller().id, lambda: _accept(body))
    background_sender.submit(ScansAccepted())
    return response


def _accept(body: BatchBody) -> Response:
    items = [_validate(number, item) for number, item in enumerate(body.scans)]
    scans = {number: item for number, item in enumerate(items) if isinstance(item, NewScan)}
    with connection() as conn, tracing.span("insert scans", attributes={"scans": len(scans)}):
        results = batches.accept_all(
            conn,
            list(scans.values()),
            sent_at=body.sent_at,
            request_id=g.request_id,
            device=device_kind(request.headers.get("User-Agent")),
            key=current_caller().key,
            extra_paths=current_settings().extra_code_path_prefixes,
        )
    stored = dict(zip(scans, results, strict=True))
    entries = [
        {"nonce": _nonce(item), **_outcome(number, stored.get(number, items[number]))}
        for number, item in enumerate(body.scans)
    ]
    return json_response({"scans": entries}, 202)


def _validate(number: int, item: object) -> NewScan | list[FieldError]:
    """Return the scan of an item, or what is wrong with it."""
    try:
        strict_json.check_values(item, _loc(number, "body"), depth=2)
        scan = BatchScanBody.model_validate(item)
    except Invalid as error:
        return list(error.field_errors)
    except ValidationError as error:
        return [FieldError(_loc(number, each.loc), each.message) for each in field_errors_of(error)]
    if not may_submit_for(current_caller(), scan.player_id):
        return [FieldError(_loc(number, "body.player_id"), NOT_YOUR_OWN)]
    return NewScan(scan.player_id, scan.qr_code, scan.coordinates, scan.accuracy, scan.scanned_at, scan.nonce)


def _outcome(number: int, result: AcceptResult | NewScan | list[FieldError]) -> dict[str, Any]:
    match result:
        case UUID():
            return {"scan_id": str(result), "status": "pending"}
        case PlayerNotFound():
            errors = [FieldError(_loc(number, "body.player_id"), str(result))]
        case NonceReused():
            errors = [FieldError(_loc(number, "body.nonce"), str(result))]
        case list():
            errors = result
        case _:
            raise AssertionError(result)
    return {"status": "refused", "errors": [{"loc": error.loc, "message": error.message} for error in errors]}


def _loc(number: int, loc: str) -> str:
    """Return the path of a field of an item in the whole body."""
    return f"body.scans.{number}" + loc.removeprefix("body")


def _nonce(item: object) -> str | None:
    """Return the nonce of an item, which may be malformed. None if no response can contain it."""
    nonce = item.get("nonce") if isinstance(item, dict) else None
    try:
        strict_json.check_values(nonce, "")
    except Invalid:
        return None
    return nonce if isinstance(nonce, str) else None
