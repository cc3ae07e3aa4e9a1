"""Effects of reviews, as a table, and the steps of an explanation."""

import pytest

from shared.reviews.rules import ReviewAction, deciding_rule, review_effect, rule_steps
from shared.scans.checks import CHECKS
from shared.scans.rules import REASONS, ScanStatus


@pytest.mark.parametrize(
    ("action", "status", "is_reviewed", "expected"),
    [
        ("release", "held", False, "change"),
        ("release", "success", True, "none"),
        ("release", "success", False, "conflict"),  # was never held
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
def test_review_effect(action: ReviewAction, status: ScanStatus, is_reviewed: bool, expected: str) -> None:
    assert review_effect(action, status, is_reviewed=is_reviewed) == expected


def test_checks_are_in_the_order_of_reasons() -> None:
    assert [check.reason for check in CHECKS] == [reason for reason in REASONS if reason != "not_judged"]


@pytest.mark.parametrize("index", range(len(CHECKS)))
def test_steps_after_the_deciding_check_are_not_tried(index: int) -> None:
    inputs = {check.reason: {"n": n} for n, check in enumerate(CHECKS[: index + 1])}
    steps = rule_steps(deciding_rule(inputs), inputs)
    assert [step.rule for step in steps] == [check.reason for check in CHECKS]
    decided = "held" if CHECKS[index].status == "held" else "failed"
    not_tried = ["not_tried"] * (len(CHECKS) - index - 1)
    assert [step.outcome for step in steps] == ["passed"] * index + [decided] + not_tried
    assert [step.inputs.get("n") for step in steps[: index + 1]] == list(range(index + 1))


def test_steps_of_a_success_all_passed() -> None:
    assert [step.outcome for step in rule_steps(None, {})] == ["passed"] * len(CHECKS)


def test_steps_of_a_dead_lettered_scan_are_not_tried() -> None:
    assert [step.outcome for step in rule_steps("not_judged", {})] == ["not_tried"] * len(CHECKS)
