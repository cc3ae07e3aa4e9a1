"""What staff may do with a verdict, and how it came about, rule by rule. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.scans.checks import RULES
from shared.scans.rules import Reason, Status

Action = Literal["release", "annul"]
Facts = Mapping[Reason, Mapping[str, Any]]
BECOMES: Mapping[Action, Status] = {"release": "success", "annul": "annulled"}


def consequence(action: Action, status: Status, *, is_reviewed: bool) -> Literal["change", "none", "refusal"]:
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
class Step:
    """One rule: what came of it, and what it looked at."""

    rule: str
    outcome: Literal["passed", "failed", "held", "not_tried"]
    inputs: Mapping[str, Any] = field(default_factory=dict)


def steps(reason: str | None, facts: Facts) -> list[Step]:
    """Each rule in the order of judging. `reason` is the one that decided; None: all were passed."""
    told: list[Step] = []
    is_decided = reason is not None and reason not in {check.reason for check in RULES}  # such as not_judged
    for check in RULES:
        if is_decided:
            told.append(Step(check.reason, "not_tried"))
            continue
        is_decided = check.reason == reason
        outcome: Literal["passed", "failed", "held"] = "passed"
        if is_decided:
            outcome = "held" if check.status == "held" else "failed"
        told.append(Step(check.reason, outcome, facts.get(check.reason, {})))
    return told


def deciding(facts: Facts) -> str | None:
    """The rule that decided, by the facts that were kept: the last that was tried."""
    return next((check.reason for check in reversed(RULES) if check.reason in facts), None)
