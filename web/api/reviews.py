"""Reviews over HTTP: release, annul, explain and simulate scans."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field

from shared.errors import NotFound, NoVerdictYet
from shared.infra import db
from shared.reviews import actions, explanation, rules, simulation, store
from shared.reviews.rules import ReviewAction, RuleStep
from shared.scans.judging_limits import from_settings
from shared.scans.rules import MESSAGES, Reason, ScanStatus
from web.api.scan_list import ReviewResponse, to_response
from web.api.scans import DestinationResponse, EncounterResponse, ScanBody, to_new_scan
from web.http.audit_log import record
from web.http.auth import current_player_id, requires_role
from web.http.relay_wakeup import wake_relay_after_request
from web.http.schemas import Id, OptionalBody, OrganizationPath, ResponseModel, StrictBool, Timestamp
from web.http.settings import current_settings

api = APIBlueprint(
    "reviews", __name__, url_prefix="/api/organizations/<org_id>/scans", abp_tags=[Tag(name="Reviews of scans")]
)


class ReviewPath(OrganizationPath):
    scan_id: Id


class ReleaseBody(OptionalBody):
    """How to release a scan."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"force": True}]})

    force: StrictBool = Field(False, description="Release the scan even if its code has no uses left")


class StepResponse(ResponseModel):
    """A check, its outcome, and what it looked at: meters, seconds, counts."""

    rule: str
    outcome: Literal["passed", "failed", "held", "not_tried"]
    inputs: dict[str, Any]


class ExplanationResponse(ResponseModel):
    """All checks in the order of judging."""

    scan_id: Id
    status: ScanStatus
    reason: Reason | None = Field(description="The check that decided; null if all passed")
    recorded: bool = Field(
        description="True: inputs as they were at the verdict. False: inputs from the stored scan and the code as it "
        "is now"
    )
    position_cleared_at: Timestamp | None = Field(
        description="When the position and the accuracy of the scan were cleared, after their retention; null: they "
        "were not"
    )
    rules: list[StepResponse]


class SimulationResponse(ResponseModel):
    """The verdict that a scan would get. Fields that do not apply are left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "failure",
                    "reason": "not_present",
                    "message": "Player must be physically present.",
                    "encounter_type": "item_drop",
                    "distance_m": 60.1,
                    "rules": [
                        {
                            "rule": "not_present",
                            "outcome": "failed",
                            "inputs": {"distance_m": 60.1, "radius_m": 50.0},
                        }
                    ],
                }
            ]
        }
    )

    status: Literal["success", "failure", "held"]
    reason: Reason | None = None
    message: str | None = None
    encounter_type: Literal["item_drop", "encounter", "transportation"] | None = None
    reward: str | None = None
    quantity: int | None = None
    encounter: EncounterResponse | None = None
    destination: DestinationResponse | None = None
    distance_m: float | None = None
    rules: list[StepResponse]


@api.post("/<scan_id>/release", responses={200: ReviewResponse, 409: None})
@requires_role("admin")
def release_scan(path: ReviewPath, body: ReleaseBody) -> dict[str, Any]:
    """Release a scan

    Needs the role admin. A held scan becomes a success: its reward is paid, and it uses one of the code's `max_scans`.
    409 if none is left, unless `force` is true. A repeated release changes nothing. Any other scan is 409.
    """
    return _review(path, "release", beyond_stock=body.force)


@api.post("/<scan_id>/annul", responses={200: ReviewResponse, 409: None})
@requires_role("admin")
def annul_scan(path: ReviewPath) -> dict[str, Any]:
    """Annul a scan

    Needs the role admin. A held or successful scan becomes annulled. Ledger entries reverse its rewards, and it no
    longer counts against the code's stock and the player's limit. What was redeemed before cannot be reversed: the
    audit log has it as `shortfall`. A repeated annulment changes nothing. Any other scan is 409.
    """
    return _review(path, "annul")


@api.get("/<scan_id>/explain", responses={200: ExplanationResponse, 409: None})
@requires_role("admin")
def explain_scan(path: ReviewPath) -> dict[str, Any]:
    """Explain a verdict

    Needs the role admin. Returns each check with its inputs and its outcome, and whether the position was cleared. 409
    while the scan is pending.
    """
    with db.connection() as conn:
        scan = store.find(conn, path.org_id, path.scan_id)
        if scan is None:
            raise NotFound
        explained = explanation.explain(conn, scan, from_settings(current_settings()))
    if explained is None:
        raise NoVerdictYet
    return ExplanationResponse.model_validate(
        {
            "scan_id": scan.scan_id,
            "status": scan.status,
            "reason": explained.reason,
            "recorded": explained.recorded,
            "position_cleared_at": scan.position_cleared_at,
            "rules": _steps(explained.steps),
        }
    ).model_dump(mode="json")


@api.post("/simulate", responses={200: SimulationResponse})
@requires_role("admin")
def simulate_scan(path: OrganizationPath, body: ScanBody) -> dict[str, Any]:
    """Simulate a scan

    Needs the role admin. Returns the verdict that this scan of one of the organization's codes would get now. Writes
    nothing and uses no nonce. Of the player's locations, it considers only scans of this organization's codes that the
    player submitted.
    """
    new_scan, limits = to_new_scan(body), from_settings(current_settings())
    with simulation.read_only_snapshot() as conn:
        verdict, scan_type = simulation.simulate(
            conn,
            path.org_id,
            new_scan,
            datetime.now(UTC),
            limits,
            extra_paths=current_settings().extra_code_path_prefixes,
        )
    response = SimulationResponse.model_validate(
        {
            "status": verdict.status,
            "reason": verdict.reason,
            "message": MESSAGES.get(verdict.reason or ""),
            "encounter_type": scan_type,
            "distance_m": verdict.distance_m,
            "rules": _steps(rules.rule_steps(verdict.reason, verdict.decision_inputs or {})),
            **verdict.outcome,
        }
    )
    return {name: value for name, value in response.model_dump(mode="json").items() if value is not None}


def _review(path: ReviewPath, action: ReviewAction, *, beyond_stock: bool = False) -> dict[str, Any]:
    with db.transaction() as conn:
        change = actions.review(conn, path.org_id, path.scan_id, action, current_player_id(), beyond_stock=beyond_stock)
        if change is not None:
            wake_relay_after_request()
            record(
                conn, change.audit_action, org_id=path.org_id, object_id=path.scan_id, old=change.old, new=change.new
            )
        reviewed = store.find(conn, path.org_id, path.scan_id)
    if reviewed is None:
        raise NotFound
    return to_response(reviewed)


def _steps(steps: Sequence[RuleStep]) -> list[dict[str, Any]]:
    return [{"rule": step.rule, "outcome": step.outcome, "inputs": dict(step.inputs)} for step in steps]
