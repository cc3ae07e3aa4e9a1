"""What staff may do with a verdict, and how it came about, rule by rule. Pure."""

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
) -> Literal["change", "none", "refusal"]:
    """What an action brings about on a scan: none where it was done before, so that a retry is harmless."""
    match action, status:
        case ("release", "held") | ("annul", "held" | "success"):
            return "change"
        case ("annul", "annulled"):
            return "none"
        case ("release", "success") if is_reviewed:
            return "none"
    return "refusal"


@dataclass(frozen=True)
class RuleStep:
    """One rule: what came of it, and what it looked at."""

    rule: str
    outcome: Literal["passed", "failed", "held", "not_tried"]
    inputs: Mapping[str, Any] = field(default_factory=dict)


def rule_steps(reason: str | None, facts: DecisionInputs) -> list[RuleStep]:
    """Each rule in the order of judging. `reason` is the one that decided; None: all were passed."""
    told: list[RuleStep] = []
    is_decided = reason is not None and reason not in {check.reason for check in CHECKS}  # such as not_judged
    for check in CHECKS:
        if is_decided:
            told.append(RuleStep(check.reason, "not_tried"))
            continue
        is_decided = check.reason == reason
        outcome: Literal["passed", "failed", "held"] = "passed"
        if is_decided:
            outcome = "held" if check.status == "held" else "failed"
        told.append(RuleStep(check.reason, outcome, facts.get(check.reason, {})))
    return told


def deciding_rule(facts: DecisionInputs) -> str | None:
    """The rule that decided, by the facts that were kept: the last that was tried."""
    return next((check.reason for check in reversed(CHECKS) if check.reason in facts), None)
