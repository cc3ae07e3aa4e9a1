"""Scans under review over HTTP: listed, released, annulled, explained, simulated."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.errors import NotFound, NotReviewable, NoVerdictYet, PlayerNotFound
from shared.infra import db
from shared.infra.ids import uuid7
from shared.reviews import explanation, rules, simulation, store
from shared.reviews.rules import ReviewAction, RuleStep
from shared.reviews.store import Review
from shared.scans.judging_limits import from_settings
from shared.scans.rules import MESSAGES, Scan
from shared.settings import settings
from web.api.scans import DestinationResponse, EncounterResponse, ScanBody, to_new_scan
from web.http.audit_log import record
from web.http.auth import current_player_id, requires_role
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Id, OrganizationPath, ResponseModel, Timestamp

api = APIBlueprint(
    "reviews", __name__, url_prefix="/api/organizations/<org_id>/scans", abp_tags=[Tag(name="Reviews of scans")]
)
PAST: Mapping[ReviewAction, str] = {"release": "released", "annul": "annulled"}
ScanStatus = Literal["pending", "success", "failure", "held", "annulled"]


class ReviewPath(OrganizationPath):
    scan_id: Id


class ReviewsQuery(PageQuery):
    status: Literal["held", "annulled"] = "held"


class ReviewResponse(ResponseModel):
    """A scan as staff see it. Distances in metres; `reward` and `quantity` are what it gives, or would give."""

    scan_id: Id
    player_id: Id
    username: str
    qr_id: Id
    qr_code: str
    encounter_type: Literal["item_drop", "encounter", "transportation"] | None
    status: ScanStatus
    reason: str | None
    held_for: str | None = Field(description="The reason for which it was held first")
    reward: str | None
    quantity: int | None
    latitude: float | None
    longitude: float | None
    accuracy: float | None
    distance_m: float | None
    scanned_at: Timestamp
    received_at: Timestamp
    settled_at: Timestamp | None
    reviewed_by: Id | None = Field(description="Who released or annulled it")
    reviewed_at: Timestamp | None


class ReviewsResponse(ResponseModel):
    items: list[ReviewResponse]
    next_cursor: str | None


class StepResponse(ResponseModel):
    """A rule, what came of it, and what it looked at: metres, seconds, counts."""

    rule: str
    outcome: Literal["passed", "failed", "held", "not_tried"]
    inputs: dict[str, Any]


class ExplanationResponse(ResponseModel):
    """Each rule in the order of judging."""

    scan_id: Id
    status: ScanStatus
    reason: str | None = Field(description="The rule that decided; null where all were passed")
    recorded: bool = Field(
        description="Inputs are as they were judged; false: only the scan and its distance were kept, and the code is "
        "shown as it stands now"
    )
    rules: list[StepResponse]


class SimulationResponse(ResponseModel):
    """A verdict that nothing came of; fields that do not apply are left out."""

    status: Literal["success", "failure", "held"]
    reason: str | None = None
    message: str | None = None
    encounter_type: Literal["item_drop", "encounter", "transportation"] | None = None
    reward: str | None = None
    quantity: int | None = None
    encounter: EncounterResponse | None = None
    destination: DestinationResponse | None = None
    distance_m: float | None = None
    rules: list[StepResponse]


@api.get("", responses={200: ReviewsResponse})
@requires_role("admin")
def list_reviews(path: OrganizationPath, query: ReviewsQuery) -> dict[str, Any]:
    """Scans that wait for review, or were annulled, newest first."""
    before = decode_id(query.cursor)
    with db.connection() as conn:
        found = store.of_organization(conn, path.org_id, query.status, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda review: (str(review.scan_id),))
    return {"items": [_review(review) for review in page], "next_cursor": next_cursor}


@api.post("/<scan_id>/release", responses={200: ReviewResponse, 409: None})
@requires_role("admin")
def release_scan(path: ReviewPath) -> dict[str, Any]:
    """Let a held scan be a success: its reward is paid. Once released it stays so, however often it is asked."""
    return _decide(path, "release")


@api.post("/<scan_id>/annul", responses={200: ReviewResponse, 409: None})
@requires_role("admin")
def annul_scan(path: ReviewPath) -> dict[str, Any]:
    """Undo a held or successful scan: rewards are taken back by compensating entries, and its place is free again."""
    return _decide(path, "annul")


@api.get("/<scan_id>/explain", responses={200: ExplanationResponse, 409: None})
@requires_role("admin")
def explain_scan(path: ReviewPath) -> dict[str, Any]:
    """How a verdict came about: each rule, its inputs, its outcome."""
    with db.connection() as conn:
        found = store.find(conn, path.org_id, path.scan_id)
        if found is None:
            raise NotFound
        if found.status == "pending":
            raise NoVerdictYet
        facts = found.decision_inputs or explanation.reconstruct_inputs(conn, found, from_settings(settings()))
    reason = rules.deciding_rule(found.decision_inputs) if found.decision_inputs else found.reason
    told = {"scan_id": found.scan_id, "status": found.status, "reason": reason, "recorded": bool(found.decision_inputs)}
    steps = _steps(rules.rule_steps(reason, facts))
    return ExplanationResponse.model_validate({**told, "rules": steps}).model_dump(mode="json")


@api.post("/simulate", responses={200: SimulationResponse})
@requires_role("admin")
def simulate_scan(path: OrganizationPath, body: ScanBody) -> dict[str, Any]:
    """The verdict that such a scan of one of the organization's codes would get now. Nothing is written, no nonce used.

    Of where the player was before, only what they handed in themselves of this organization's codes is looked at.
    """
    given, now = to_new_scan(body), datetime.now(UTC)
    with simulation.read_only_snapshot() as conn:
        if not simulation.is_player(conn, given.player_id):
            raise PlayerNotFound
        scan = Scan(
            id=uuid7(),
            player_id=given.player_id,
            qr_code=given.qr_code,
            qr_code_id=simulation.find_code_id(conn, path.org_id, given.qr_code),
            scan_time=min(given.scanned_at or now, now),
            received_at=now,
            coordinates=given.coordinates,
            accuracy_m=given.accuracy_m,
        )
        verdict, scan_type = simulation.simulate(conn, scan, path.org_id, from_settings(settings()))
    told = {
        "status": verdict.status,
        "reason": verdict.reason,
        "message": MESSAGES.get(verdict.reason or ""),
        "encounter_type": scan_type,
        "distance_m": verdict.distance_m,
        "rules": _steps(rules.rule_steps(verdict.reason, verdict.facts or {})),
        **verdict.outcome,
    }
    answer = SimulationResponse.model_validate(told).model_dump(mode="json")
    return {name: value for name, value in answer.items() if value is not None}


def _decide(path: ReviewPath, action: ReviewAction) -> dict[str, Any]:
    with db.transaction() as conn:
        scan = store.lock(conn, path.org_id, path.scan_id)
        if scan is None:
            raise NotFound
        match rules.review_effect(action, scan.status, is_reviewed=scan.reviewed_at is not None):
            case "refusal":
                raise NotReviewable(f"A scan that is {scan.status} cannot be {PAST[action]}.")
            case "change":
                change = store.release if action == "release" else store.annul
                change(conn, scan, path.org_id, current_player_id())
                old, new = {"status": scan.status}, {"status": rules.RESULTING_STATUS[action]}
                record(conn, f"scan.{PAST[action]}", org_id=path.org_id, object_id=path.scan_id, old=old, new=new)
        found = store.find(conn, path.org_id, path.scan_id)
    if found is None:
        raise NotFound
    return _review(found)


def _review(found: Review) -> dict[str, Any]:
    told = vars(found) | {
        "held_for": rules.deciding_rule(found.decision_inputs)
        if found.decision_inputs and found.reason is None
        else found.reason,
        "reward": found.outcome.get("reward"),
        "quantity": found.outcome.get("quantity"),
    }
    return ReviewResponse.model_validate(told).model_dump(mode="json")


def _steps(steps: Sequence[RuleStep]) -> list[dict[str, Any]]:
    return [{"rule": step.rule, "outcome": step.outcome, "inputs": dict(step.inputs)} for step in steps]
