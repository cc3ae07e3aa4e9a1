"""The explanation of a verdict: its checks with their inputs, as they were recorded or as they are reconstructed."""

from dataclasses import dataclass

from shared.infra.db import Conn
from shared.reviews.rules import DecisionInputs, RuleStep, deciding_rule, rule_steps
from shared.reviews.store import Review
from shared.scans import judging_queries
from shared.scans.checks import CHECKS, JudgingInput
from shared.scans.fair_play import NO_ACTIVITY, NO_FAIR_PLAY
from shared.scans.rules import JudgingLimits, Scan, Usage

UNKNOWN_INPUTS = ("used", "use_count", "seconds")
"""How often, and when, the code had been used by then."""


@dataclass(frozen=True)
class Explanation:
    """The checks of a settled scan, and the reason of the one that decided. None if all passed.

    `recorded` is false if their inputs are from the code as it is now.
    """

    reason: str | None
    steps: list[RuleStep]
    recorded: bool

    @property
    def decision(self) -> RuleStep | None:
        """The check that decided. None if all passed."""
        return next((step for step in self.steps if step.outcome in ("failed", "held")), None)


def explain(conn: Conn, scan: Review, limits: JudgingLimits) -> Explanation | None:
    """Return the explanation of a verdict. None while the scan is pending."""
    if scan.status == "pending":
        return None
    inputs = scan.decision_inputs or reconstruct_inputs(conn, scan, limits)
    reason = deciding_rule(scan.decision_inputs) if scan.decision_inputs else scan.reason
    return Explanation(reason, rule_steps(reason, inputs), bool(scan.decision_inputs))


def reconstruct_inputs(conn: Conn, review: Review, limits: JudgingLimits) -> DecisionInputs:
    """Return the inputs by check, from the stored scan, its distance, and the code as it is now.

    Leaves out earlier uses, location fixes and nearby activity: they cannot be reconstructed. Of a scan whose position
    was cleared, only the distance is known.
    """
    code = judging_queries.load_code(conn, review.qr_id)
    scan = Scan(
        id=review.scan_id,
        player_id=review.player_id,
        qr_code=review.qr_code,
        qr_code_id=review.qr_id,
        scan_time=review.scanned_at,
        received_at=review.received_at,
        coordinates=judging_queries.coordinates_or_none(review.latitude, review.longitude),
        accuracy_m=review.accuracy,
        step_mac=review.step_mac,
    )
    case = JudgingInput(scan, code, Usage(), (), limits, NO_FAIR_PLAY, NO_ACTIVITY, review.distance_m)
    inputs = {
        check.reason: {name: value for name, value in check.inputs(case).items() if name not in UNKNOWN_INPUTS}
        for check in CHECKS
    }
    if review.position_cleared_at is not None:
        # The scan had them, and judging looked at them.
        inputs["location_required"]["position_given"] = True
        inputs["better_location_needed"].pop("accuracy_m")
    return inputs
