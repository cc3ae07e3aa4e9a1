"""The events of actions, as tables, and states as the fold of their events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.quests.notifications import live_events
from shared.quests.rules import (
    ClaimReward,
    NoReward,
    Quest,
    QuestAction,
    QuestEvent,
    QuestNotCompleted,
    QuestReward,
    QuestState,
    RewardFullyClaimed,
    decide,
    evolve,
    fold,
    indexes_of,
    state_from_json,
    state_to_json,
    status_of,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
COINS = QuestReward("coin", 10)
BADGE = QuestReward("badge", 1, UUID(int=9))
THREE = Quest("three", streak=3, duplication=2, reward=COINS)
A, B, C, D = (UUID(int=n) for n in range(1, 5))


UTC_ZONE = ZoneInfo("UTC")


def act(
    after: timedelta = timedelta(), code: UUID | None = None, *places: int, zone: ZoneInfo = UTC_ZONE
) -> QuestAction:
    return QuestAction(NOON + after, zone, code, code, places)


def on(day: int) -> QuestAction:
    """An action at noon of a day in November."""
    return QuestAction(NOON.replace(day=day), UTC_ZONE)


def play(
    quest: Quest, *commands: QuestAction | ClaimReward, state: QuestState | None = None
) -> tuple[QuestState, list[str]]:
    """Return the state after these commands, and the status of each."""
    state = state or QuestState()
    statuses: list[str] = []
    for command in commands:
        events = decide(state, command, quest)
        state, statuses = fold(events, state), [*statuses, status_of(events)]
    return state, statuses


def test_a_round_takes_as_many_actions_as_the_streak() -> None:
    state, statuses = play(THREE, *[act()] * 7)
    assert statuses == ["in_progress", "in_progress", "completed"] * 2 + ["max_completions_reached"]
    assert (state.progress, state.completions, state.claims) == (0, 2, 0)


def test_a_completion_is_claimed_once() -> None:
    state, _ = play(THREE, *[act()] * 3)
    state, statuses = play(THREE, ClaimReward(NOON), state=state)
    assert statuses == ["claimed"]
    with pytest.raises(QuestNotCompleted):
        decide(state, ClaimReward(NOON), THREE)
    state, _ = play(THREE, *[act()] * 3, ClaimReward(NOON), state=state)
    with pytest.raises(RewardFullyClaimed):
        decide(state, ClaimReward(NOON), THREE)


def test_a_quest_without_a_reward_is_never_claimed() -> None:
    quest = Quest("none", streak=1, duplication=1, auto_claim=True)
    state, statuses = play(quest, act())
    assert statuses == ["completed"]
    with pytest.raises(NoReward):
        decide(state, ClaimReward(NOON), quest)


def test_auto_claim_pays_with_the_completion() -> None:
    state, statuses = play(replace(THREE, auto_claim=True), *[act()] * 6)
    assert statuses == ["in_progress", "in_progress", "claimed"] * 2
    assert state.claims == 2


def test_the_next_action_completes_a_streak_that_was_shortened() -> None:
    state, _ = play(replace(THREE, streak=10), *[act()] * 5)
    assert play(THREE, act(), state=state)[1] == ["completed"]


@pytest.mark.parametrize(
    ("days", "grace", "progress"),
    [
        ([1, 2, 3], 0, [1, 2, 3]),
        ([1, 1, 2, 2], 0, [1, 1, 2, 2]),
        ([1, 3], 0, [1, 1]),
        ([1, 3, 5], 1, [1, 2, 3]),
        ([1, 4], 1, [1, 1]),
        ([1, 4], 2, [1, 2]),
        ([3, 2, 4], 0, [1, 1, 2]),  # a clock, or a traveller, that goes back
    ],
)
def test_a_daily_streak_counts_one_step_per_day(days: list[int], grace: int, progress: list[int]) -> None:
    quest = Quest("days", streak=10, duplication=1, daily=True, grace_days=grace)
    state, steps = QuestState(), []
    for day in days:
        state = fold(decide(state, on(day), quest), state)
        steps.append(state.progress)
    assert steps == progress


def test_a_daily_streak_continues_in_the_next_round() -> None:
    quest = Quest("days", streak=2, duplication=5, daily=True)
    state, statuses = play(quest, *[on(day) for day in (1, 2, 2, 3, 4)])
    assert statuses == ["in_progress", "completed", "in_progress", "in_progress", "completed"]
    assert state.completions == 2


@pytest.mark.parametrize(
    ("seconds", "progress"),
    [
        ([0, 1, 2], [1, 1, 1]),
        ([0, 59, 60], [1, 1, 2]),
        ([0, 59, 118, 120], [1, 1, 2, 2]),
        ([0, 60, 120, 150, 180], [1, 2, 0, 0, 1]),  # the interval counts across completions
    ],
)
def test_an_action_counts_after_the_minimum_interval(seconds: list[int], progress: list[int]) -> None:
    quest = replace(THREE, min_interval=timedelta(seconds=60))
    state, steps, reasons = QuestState(), [], set()
    for second in seconds:
        events = decide(state, act(timedelta(seconds=second)), quest)
        state = fold(events, state)
        steps.append(state.progress)
        reasons |= {event.data["reason"] for event in events if event.type == "action_ignored"}
    assert steps == progress
    assert reasons == {"too_soon"}
    assert Quest.from_terms(quest.terms(), quest.name) == quest


LANDMARKS = Quest("landmarks", streak=3, duplication=2, by_scans=True, within=timedelta(hours=1), reward=COINS)
TRAIL = replace(LANDMARKS, name="trail", in_order=True)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("quest", "actions", "progress", "completions"),
    [
        (LANDMARKS, [act(MINUTE, A), act(MINUTE, B)], 2, 0),
        (LANDMARKS, [act(MINUTE, A), act(MINUTE, A)], 1, 0),
        (LANDMARKS, [act(MINUTE, C), act(MINUTE, A), act(MINUTE, B)], 0, 1),
        (LANDMARKS, [act(MINUTE, A), act(MINUTE, B), act(MINUTE, C), act(MINUTE, A)], 1, 1),
        (LANDMARKS, [act(MINUTE, A), act(62 * MINUTE, B)], 1, 0),
        (LANDMARKS, [act(MINUTE, A), act(61 * MINUTE, B)], 2, 0),
        (TRAIL, [act(MINUTE, A, 0), act(MINUTE, B, 1), act(MINUTE, C, 2)], 0, 1),
        (TRAIL, [act(MINUTE, B, 1), act(MINUTE, A, 0), act(MINUTE, C, 2)], 1, 0),
        (TRAIL, [act(MINUTE, A, 0, 2), act(MINUTE, B, 1), act(MINUTE, A, 0, 2)], 0, 1),  # there and back again
        (TRAIL, [act(MINUTE, A, 0), act(62 * MINUTE, B, 1)], 1, 0),  # too late, and no beginning
        (TRAIL, [act(MINUTE, A, 0), act(62 * MINUTE, A, 0), act(63 * MINUTE, B, 1)], 2, 0),
    ],
)
def test_each_code_counts_once_per_round(
    quest: Quest, actions: list[QuestAction], progress: int, completions: int
) -> None:
    state, _ = play(quest, *actions)
    assert (state.progress, state.completions) == (progress, completions)
    assert len(state.steps) == progress


@pytest.mark.parametrize(
    ("code", "tags", "codes", "wanted", "places"),
    [
        ("b", [], ["a", "b", "a"], [], (1,)),
        ("a", [], ["a", "b", "a"], [], (0, 2)),
        ("c", ["x"], ["a"], ["x"], ()),
        ("c", ["x", "y"], [], ["y", "x"], (0, 1)),
        ("A", [], ["a"], [], ()),
    ],
)
def test_indexes_of_codes_and_tags(
    code: str, tags: list[str], codes: list[str], wanted: list[str], places: tuple[int, ...]
) -> None:
    assert indexes_of([code, "alias"], tags, codes=codes, wanted_tags=wanted) == places


def test_an_action_without_effect_is_stored_and_not_published() -> None:
    state, _ = play(LANDMARKS, act(MINUTE, A))
    events = decide(state, act(MINUTE, A), LANDMARKS)
    assert [(event.type, event.data["reason"]) for event in events] == [("action_ignored", "already_visited")]
    assert list(live_events("landmarks", state, events)) == []


QUESTS = st.builds(
    Quest,
    name=st.just("q"),
    streak=st.integers(1, 4),
    duplication=st.integers(1, 3),
    auto_claim=st.booleans(),
    reward=st.sampled_from([None, COINS]),
    min_interval=st.sampled_from([None, timedelta(minutes=2)]),
) | st.builds(
    Quest,
    name=st.just("q"),
    streak=st.integers(1, 4),
    duplication=st.integers(1, 3),
    auto_claim=st.booleans(),
    reward=st.sampled_from([None, BADGE]),
    by_scans=st.just(True),
    in_order=st.booleans(),
    within=st.sampled_from([None, timedelta(minutes=5)]),
    min_interval=st.sampled_from([None, timedelta(minutes=2)]),
)
ACTIONS = st.builds(
    lambda minutes, code, places: act(minutes * MINUTE, code, *places),
    st.integers(0, 20),
    st.sampled_from([A, B, C, D]),
    st.lists(st.integers(0, 3), max_size=2),
)
COMMANDS = st.lists(ACTIONS | st.just(ClaimReward(NOON)), max_size=30)


def run(quest: Quest, commands: Sequence[QuestAction | ClaimReward]) -> tuple[QuestState, list[QuestEvent]]:
    state = QuestState()
    log: list[QuestEvent] = []
    for command in commands:
        try:
            events = decide(state, command, quest)
        except (QuestNotCompleted, NoReward, RewardFullyClaimed):
            continue
        state, log = fold(events, state), [*log, *events]
    return state, log


@given(QUESTS, COMMANDS)
def test_a_state_is_the_fold_of_its_events_and_within_its_bounds(quest: Quest, commands: Any) -> None:
    state, log = run(quest, commands)
    assert fold(log) == state
    assert state.version == len(log)
    assert 0 <= state.claims <= state.completions <= quest.duplication
    assert 0 <= state.progress < quest.streak
    assert (quest.reward is not None) or state.claims == 0
    if quest.auto_claim and quest.reward:
        assert state.claims == state.completions
    assert [event.type for event in log].count("quest_completed") == state.completions


@given(QUESTS, COMMANDS)
def test_terms_and_states_survive_json(quest: Quest, commands: Any) -> None:
    state, _ = run(quest, commands)
    assert Quest.from_terms(quest.terms(), "q") == quest
    assert replace(state_from_json(state_to_json(state)), version=state.version, claims=state.claims) == state


@given(QUESTS, COMMANDS)
def test_each_step_completion_and_reward_is_a_live_event(quest: Quest, commands: Any) -> None:
    _, log = run(quest, commands)
    names = [type_ for type_, _ in live_events("q", QuestState(), log)]
    words = {"quest_step": "quest_progress", "quest_completed": "quest_completed", "reward_claimed": "reward_granted"}
    assert names == [words[event.type] for event in log if event.type in words]


def test_an_unknown_event_changes_only_the_version() -> None:
    state = QuestState(version=4, progress=2)
    assert evolve(state, QuestEvent("action_ignored", NOON)) == replace(state, version=5)
