"""Retracting scans leads to the state without them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate, compress
from typing import Any
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from shared.quests.retraction import retract_events
from shared.quests.rules import (
    ClaimReward,
    NoReward,
    Quest,
    QuestAction,
    QuestEvent,
    QuestNotCompleted,
    QuestReward,
    RewardFullyClaimed,
    decide,
    fold,
)
from tests.quests.test_rules import BADGE, COINS, MINUTE, NOON, QUESTS, UTC_ZONE

RUBIES = QuestReward("ruby", 3)
VISITS = Quest("visits", streak=2, duplication=5, by_scans=True, reward=COINS)
CODES = [UUID(int=n) for n in range(1, 5)]


def scan(number: int, code: int = 0, minutes: int = 0, places: tuple[int, ...] = ()) -> QuestAction:
    at = NOON + minutes * MINUTE
    return QuestAction(at, UTC_ZONE, UUID(int=1000 + number), CODES[code], places)


def log_of(quest: Quest, *commands: QuestAction | ClaimReward) -> list[QuestEvent]:
    log: list[QuestEvent] = []
    for command in commands:
        log += decide(fold(log), command, quest)
    return log


def types(events: list[QuestEvent]) -> list[str]:
    return [event.type for event in events]


def test_progress_is_restored() -> None:
    log = log_of(VISITS, scan(0, 0), scan(1, 1), scan(2, 2))
    compensating = retract_events(log, {UUID(int=1001)}, NOON)
    assert types(compensating) == ["scans_retracted"]
    state = fold([*log, *compensating])
    assert (state.progress, state.completions) == (0, 1), "the first and the third make the round"


def test_a_revoked_claim_can_be_earned_again() -> None:
    log = log_of(VISITS, scan(0, 0), scan(1, 1), ClaimReward(NOON))
    compensating = retract_events(log, {UUID(int=1000)}, NOON)
    assert types(compensating) == ["scans_retracted", "reward_revoked"]
    assert dict(compensating[1].data) == {"completion": 1, "item": "coin", "quantity": 10}
    state = fold([*log, *compensating])
    assert (state.progress, state.completions, state.claims) == (1, 0, 0)
    again = decide(state, scan(2, 2), VISITS)
    assert types(again) == ["quest_step", "quest_completed"]


def test_an_ignored_scan_replaces_the_retracted_one() -> None:
    log = log_of(VISITS, scan(0, 0), scan(1, 0))
    state = fold([*log, *retract_events(log, {UUID(int=1000)}, NOON)])
    assert (state.progress, [step.code_id for step in state.steps]) == (1, [CODES[0]])


def test_a_completion_earned_by_a_retraction_is_paid_with_auto_claim() -> None:
    """The first scan began a round that lapsed before the last one. The second one would have begun another."""
    quest = replace(VISITS, auto_claim=True, in_order=True, within=timedelta(minutes=10))
    log = log_of(quest, scan(0, 0, 0, (0,)), scan(1, 0, 8, (0,)), scan(2, 1, 12, (1,)))
    assert fold(log).completions == 0
    compensating = retract_events(log, {UUID(int=1000)}, NOON)
    assert types(compensating) == ["scans_retracted", "reward_claimed"]
    state = fold([*log, *compensating])
    assert state.claims == state.completions == 1


def test_retracting_twice_changes_nothing() -> None:
    log = log_of(VISITS, scan(0, 0), scan(1, 1), scan(2, 2))
    log += retract_events(log, {UUID(int=1001)}, NOON)
    assert retract_events(log, {UUID(int=1001)}, NOON) == []
    assert retract_events(log, {UUID(int=4)}, NOON) == []


def played(quests: Iterable[Quest], commands: Iterable[QuestAction | ClaimReward]) -> list[QuestEvent]:
    """Decide each command by the quest of its time."""
    log: list[QuestEvent] = []
    for quest, command in zip(quests, commands, strict=False):
        try:
            log += decide(fold(log), command, quest)
        except (QuestNotCompleted, NoReward, RewardFullyClaimed):
            continue
    return log


@given(
    QUESTS,
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 20), st.lists(st.integers(0, 3), max_size=2)) | st.none(),
        max_size=20,
    ),
    st.integers(0, 20),
    st.sets(st.integers(0, 19)),
    st.sets(st.integers(0, 19)),
)
@example(replace(VISITS, auto_claim=True), [(code, 0, []) for code in range(4)], 2, {0}, set())
def test_retracting_restores_exactly(quest: Quest, plan: Any, change: int, first: set[int], second: set[int]) -> None:
    """The reward of the quest was changed meanwhile. Each scan is made one minute or more after the one before."""
    minutes = list(accumulate(1 + (each[1] // 4 if each else 0) for each in plan))
    commands: list[QuestAction | ClaimReward] = [
        ClaimReward(NOON) if each is None else scan(number, each[0], minute, tuple(each[2]))
        for number, (each, minute) in enumerate(zip(plan, minutes, strict=True))
    ]
    terms = [quest] * change + [replace(quest, reward=quest.reward and RUBIES)] * (20 - change)
    log = played(terms, commands)
    for retracted in (first, second):
        log += retract_events(log, {UUID(int=1000 + number) for number in retracted}, NOON)
    state = fold(log)

    acted = [
        isinstance(command, QuestAction) and number not in first | second for number, command in enumerate(commands)
    ]
    log_without = played(compress(terms, acted), compress(commands, acted))
    expected = fold(log_without)
    assert (state.progress, state.completions, state.steps) == (
        expected.progress,
        expected.completions,
        expected.steps,
    )
    assert state.claims <= state.completions
    if quest.auto_claim and quest.reward:
        assert state.claims == state.completions
        assert paid(log) == paid(log_without)
    assert state.claims == sum(paid(log)[each.item] / each.quantity for each in (COINS, BADGE, RUBIES))
    assert state.version == len(log)


def paid(log: list[QuestEvent]) -> Counter[str]:
    """Return the quantity that a player has."""
    balance = Counter[str]()
    for event in log:
        if event.type in ("reward_claimed", "reward_revoked"):
            balance[event.data["item"]] += (1 if event.type == "reward_claimed" else -1) * event.data["quantity"]
    return balance
