"""What staff may do with a verdict, as a table; and how steps are told."""

import pytest

from shared.reviews.rules import ReviewAction, deciding_rule, review_effect, rule_steps
from shared.scans.checks import CHECKS
from shared.scans.rules import REASONS, ScanStatus


@pytest.mark.parametrize(
    ("action", "status", "is_reviewed", "expected"),
    [
        ("release", "held", False, "change"),
        ("release", "success", True, "none"),
        ("release", "success", False, "conflict"),  # it never was held
        ("release", "annulled", True, "conflict"),
        ("release", "pending", False, "conflict"),
        ("release", "failure", False, "conflict"),
        ("annul", "held", False, "change"),
        ("annul", "success", False, "change"),
        ("annul", "success", True, "change"),  # released by mistake
        ("annul", "annulled", True, "none"),
        ("annul", "pending", False, "conflict"),
        ("annul", "failure", False, "conflict"),
    ],
)
def test_consequences(action: ReviewAction, status: ScanStatus, is_reviewed: bool, expected: str) -> None:
    assert review_effect(action, status, is_reviewed=is_reviewed) == expected


def test_rules_stand_in_the_order_of_the_closed_list() -> None:
    order = [check.reason for check in CHECKS]
    assert order == [reason for reason in REASONS if reason in order]


@pytest.mark.parametrize("place", range(len(CHECKS)))
def test_steps_end_where_it_was_decided(place: int) -> None:
    facts = {check.reason: {"n": n} for n, check in enumerate(CHECKS[: place + 1])}
    told = rule_steps(deciding_rule(facts), facts)
    assert [step.rule for step in told] == [check.reason for check in CHECKS]
    assert [step.outcome for step in told[:place]] == ["passed"] * place
    assert told[place].outcome == ("held" if CHECKS[place].status == "held" else "failed")
    assert {step.outcome for step in told[place + 1 :]} <= {"not_tried"}
    assert [step.inputs.get("n") for step in told[: place + 1]] == list(range(place + 1))


def test_a_success_passed_everything_and_what_was_set_aside_was_not_tried() -> None:
    assert {step.outcome for step in rule_steps(None, {})} == {"passed"}
    assert {step.outcome for step in rule_steps("not_judged", {})} == {"not_tried"}
