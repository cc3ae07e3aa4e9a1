"""Scans that arrive late count in the order of their own time, and undo no completion."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.quests.recount import actions_of, recount, retracted_scans
from shared.quests.reordering import MAX_EVENTS, decide_late, is_late
from shared.quests.retraction import retract_events
from shared.quests.rules import (
    ClaimReward,
    NoReward,
    Quest,
    QuestAction,
    QuestEvent,
    QuestNotCompleted,
    RewardFullyClaimed,
    decide,
    fold,
)
from tests.quests.test_retraction import VISITS, scan
from tests.quests.test_rules import COINS, MINUTE, NOON, QUESTS

TRAIL = Quest("trail", streak=3, duplication=2, auto_claim=True, reward=COINS, by_scans=True, in_order=True)


def arrive(quest: Quest, *commands: QuestAction | ClaimReward) -> list[QuestEvent]:
    """Decide each command in the order of arrival, as settling does."""
    log: list[QuestEvent] = []
    for command in commands:
        state = fold(log)
        try:
            if isinstance(command, QuestAction) and is_late(state, command):
                actions = actions_of(log, retracted_scans(log))
                log += decide_late(state, actions, command, quest)
            else:
                log += decide(state, command, quest)
        except (QuestNotCompleted, NoReward, RewardFullyClaimed):
            continue
    return log


def reasons(log: Sequence[QuestEvent]) -> list[str]:
    return [event.data["reason"] for event in log if event.type == "action_ignored"]


def test_a_trail_uploaded_last_first_is_completed_and_paid() -> None:
    a, b, c = (scan(number, number, number, (number,)) for number in range(3))
    log = arrive(TRAIL, c, a, b)
    assert [event.type for event in log] == ["action_ignored", "quest_step", "scans_reordered", "reward_claimed"]
    state = fold(log)
    assert (state.progress, state.completions, state.claims) == (0, 1, 1)
    assert log[3].data["completion"] == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_codes_of_one_time_count_in_the_order_of_the_quest(order: tuple[int, int]) -> None:
    """A clock with whole seconds."""
    scans = [scan(number, number, 0, (number,)) for number in range(2)]
    assert fold(arrive(TRAIL, *(scans[number] for number in order))).progress == 2


def test_a_late_scan_that_changes_nothing_is_ignored_and_counts_later() -> None:
    """Three codes within ten minutes. The first scan is too old for the open round, until two others join it."""
    quest = replace(VISITS, streak=3, within=10 * MINUTE)
    newer = [scan(0, 0, 100), scan(1, 1, 101)]
    log = arrive(quest, *newer, scan(2, 2, 1))
    assert (reasons(log), fold(log).progress) == (["too_old"], 2)
    log = arrive(quest, *newer, scan(2, 2, 1), scan(3, 0, 2), scan(4, 1, 3))
    assert (fold(log).completions, fold(log).progress) == (1, 2)


def test_a_late_scan_never_undoes_a_completion() -> None:
    """In order, it would have begun a round that lapses before the second code."""
    quest = replace(TRAIL, streak=2, within=5 * MINUTE)
    log = arrive(quest, scan(0, 0, 6, (0,)), scan(1, 1, 10, (1,)), scan(2, 0, 4, (0,)))
    assert reasons(log) == ["undoes_completion"]
    assert (fold(log).completions, fold(log).claims) == (1, 1)
    # Nor does it when another scan is annulled.
    log = arrive(quest, *(scan(n, code, at, (code,)) for n, code, at in [(0, 0, 6), (1, 1, 10), (2, 0, 4), (3, 0, 11)]))
    log += retract_events(log, {scan(3).scan_id}, NOON)  # type: ignore[arg-type]
    assert (fold(log).completions, fold(log).claims) == (1, 1)


def test_a_late_scan_never_pays_a_completion_twice() -> None:
    """The completion moves to an earlier scan. Its reward was claimed already."""
    quest = replace(VISITS, auto_claim=True)
    log = arrive(quest, scan(0, 0, 1), scan(1, 1, 3), scan(2, 2, 2))
    assert [event.type for event in log].count("reward_claimed") == 1
    assert (fold(log).completions, fold(log).progress) == (1, 1)


def test_a_late_scan_after_a_long_history_is_decided_as_it_arrives() -> None:
    """Deciding a thousand actions again for each late scan would take a worker's time."""
    state = replace(fold(arrive(TRAIL, scan(0, 1, 1, (1,)))), version=MAX_EVENTS)
    assert is_late(state, scan(1, 0, 0, (0,)))
    assert not is_late(replace(state, version=MAX_EVENTS + 1), scan(1, 0, 0, (0,)))
    quest = replace(VISITS, streak=3, within=10 * MINUTE)
    newer = fold(arrive(quest, scan(0, 0, 100)))
    assert reasons(decide(newer, scan(1, 1, 1), quest)) == ["too_old"]


SCANS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.lists(st.integers(0, 3), max_size=2)), max_size=12)


def scans_of(plan: Any, quest: Quest) -> list[QuestAction]:
    return [
        scan(number, code, minutes, tuple(places) if quest.in_order else ())
        for number, (code, minutes, places) in enumerate(plan)
    ]


@given(QUESTS, SCANS, st.permutations(range(12)), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
def test_a_state_is_that_of_its_scans_in_their_own_order(
    quest: Quest, plan: Any, order: Sequence[int], first: set[int], second: set[int]
) -> None:
    """After scans in any order, claims between them, and two annulments."""
    quest = replace(quest, by_scans=True)
    scans = scans_of(plan, quest)
    log = arrive(quest, *(command for n in order if n < len(scans) for command in (scans[n], ClaimReward(NOON))))
    for annulled in (first, second):
        log += retract_events(log, {scans[n].scan_id for n in annulled if n < len(scans)}, NOON)  # type: ignore[misc]
    state = fold(log)
    actions = actions_of(log, retracted_scans(log))
    expected = recount(actions).state
    in_time = arrive(quest, *(action for action, _ in sorted(actions, key=lambda pair: pair[0].order)))
    assert replace(fold(in_time), version=0, claims=0) == expected
    assert (state.progress, state.completions, state.steps) == (
        expected.progress,
        expected.completions,
        expected.steps,
    )
    assert state.version == len(log)
    assert 0 <= state.claims <= state.completions <= quest.duplication
    if quest.auto_claim and quest.reward:
        assert state.claims == state.completions


@given(QUESTS, SCANS, st.permutations(range(12)))
def test_the_order_of_upload_does_not_matter(quest: Quest, plan: Any, order: Sequence[int]) -> None:
    """A quest with a time limit keeps a completion that a late scan would have prevented: then it has one more."""
    quest = replace(quest, by_scans=True)
    scans = scans_of(plan, quest)
    uploaded = fold(arrive(quest, *(scans[n] for n in order if n < len(scans))))
    in_time = fold(arrive(quest, *sorted(scans, key=lambda each: each.order)))
    if quest.within is None and quest.min_interval is None:
        assert (uploaded.progress, uploaded.completions) == (in_time.progress, in_time.completions)
    assert uploaded.claims <= uploaded.completions


@given(QUESTS, SCANS, st.permutations(range(12)))
def test_no_arrival_takes_a_completion_or_a_reward(quest: Quest, plan: Any, order: Sequence[int]) -> None:
    quest = replace(quest, by_scans=True)
    scans = scans_of(plan, quest)
    state = fold([])
    log = arrive(quest, *(scans[n] for n in order if n < len(scans)))
    for number in range(len(log)):
        after = fold(log[: number + 1])
        assert (after.completions, after.claims) >= (state.completions, state.claims)
        assert after.claims >= state.claims
        state = after
