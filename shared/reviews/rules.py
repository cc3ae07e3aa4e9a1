"""The actions of staff on a verdict, and its explanation, check by check. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.scans.checks import CHECKS
from shared.scans.rules import Reason, ScanStatus

ReviewAction = Literal["release", "annul"]
DecisionInputs = Mapping[Reason, Mapping[str, Any]]
RESULTING_STATUS: Mapping[ReviewAction, ScanStatus] = {"release": "success", "annul": "annulled"}


def review_effect(
    action: ReviewAction, status: ScanStatus, *, is_reviewed: bool
) -> Literal["change", "none", "conflict"]:
    """Return what an action does to a scan: `none` if it was done before, so that a retry is harmless."""
    match action, status:
        case ("release", "held") | ("annul", "held" | "success"):
            return "change"
        case ("annul", "annulled"):
            return "none"
        case ("release", "success") if is_reviewed:
            return "none"
    return "conflict"


@dataclass(frozen=True)
class RuleStep:
    """One check, its outcome, and what it looked at."""

    rule: str
    outcome: Literal["passed", "failed", "held", "not_tried"]
    inputs: Mapping[str, Any] = field(default_factory=dict)


def rule_steps(reason: str | None, decision_inputs: DecisionInputs) -> list[RuleStep]:
    """Return all checks in order. `reason` names the one that decided; None means that all passed."""
    steps: list[RuleStep] = []
    # A reason without a check, such as not_judged, means that no check was tried.
    is_decided = reason is not None and reason not in {check.reason for check in CHECKS}
    for check in CHECKS:
        if is_decided:
            steps.append(RuleStep(check.reason, "not_tried"))
            continue
        is_decided = check.reason == reason
        outcome: Literal["passed", "failed", "held"] = "passed"
        if is_decided:
            outcome = "held" if check.status == "held" else "failed"
        steps.append(RuleStep(check.reason, outcome, decision_inputs.get(check.reason, {})))
    return steps


def deciding_rule(decision_inputs: DecisionInputs) -> str | None:
    """Return the reason of the last check that was tried: it decided. None if there are no inputs."""
    return next((check.reason for check in reversed(CHECKS) if check.reason in decision_inputs), None)
