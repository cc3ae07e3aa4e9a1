"""The concurrency limiter: up to N permits, in order, each for at most a lease."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.infra.concurrency import PERMIT_SECONDS, ConcurrencyLimiter, Permit, release_permit


class Room:
    """A limiter with a stopped clock, and what it started."""

    def __init__(self, at_once: int) -> None:
        self.started: list[int] = []
        self.taken: list[Permit] = []
        self.turns: ConcurrencyLimiter[int] = ConcurrencyLimiter(at_once, self._start)

    def _start(self, who: int, turn: Permit) -> None:
        self.started.append(who)
        self.taken.append(turn)

    @property
    def held(self) -> int:
        return sum(turn.is_held for turn in self.taken)


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [0.0]
    monkeypatch.setattr("shared.infra.concurrency.time.monotonic", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


def test_as_many_start_as_may_and_the_others_in_order() -> None:
    room = Room(2)
    for who in range(5):
        room.turns.submit(who)
    assert room.started == [0, 1]

    room.turns.release(room.taken[1])
    assert room.started == [0, 1, 2]
    room.turns.release(room.taken[1])
    assert room.started == [0, 1, 2], "a turn that is given up twice makes room once"


def test_released_permit_returns_the_next_request() -> None:
    room = Room(1)
    for who in range(2):
        room.turns.submit(who)

    found = room.turns.release_and_take_next(room.taken[0])

    assert found is not None
    assert found[0] == 1
    assert room.started == [0], "by the same thread"
    assert room.turns.release_and_take_next(found[1]) is None


def test_a_released_permit_starts_the_next_item_once() -> None:
    room = Room(1)
    for who in range(3):
        room.turns.submit(who)

    with room.taken[0]:
        release_permit()
        release_permit()
    assert room.started == [0, 1]
    assert room.turns.release_and_take_next(room.taken[0]) is None, "its turn was over already"
    release_permit()
    assert room.started == [0, 1], "this thread no longer has a permit"


def test_permit_expires_after_its_lease_while_a_request_waits(pass_time: Callable[[float], None]) -> None:
    room = Room(1)
    assert room.turns.expire_permits() is None
    room.turns.submit(0)
    assert room.turns.expire_permits() is None, "no request waits"

    room.turns.submit(1)
    pass_time(PERMIT_SECONDS / 4)
    assert room.turns.expire_permits() == pytest.approx(PERMIT_SECONDS * 3 / 4)
    assert room.started == [0]

    pass_time(PERMIT_SECONDS)
    assert room.turns.expire_permits() is None
    assert room.started == [0, 1]
    room.turns.release(room.taken[0])
    assert room.held == 1


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from(["ask", "give up", "pass on"]), st.integers(0, 20))))
def test_no_more_than_may_and_none_waits_beside_a_free_place(at_once: int, steps: list[tuple[str, int]]) -> None:
    room, asked = Room(at_once), 0
    for step, which in steps:
        if step == "ask":
            room.turns.submit(asked)
            asked += 1
        elif room.taken:
            turn = room.taken[which % len(room.taken)]
            if step == "give up":
                room.turns.release(turn)
            elif (found := room.turns.release_and_take_next(turn)) is not None:
                room._start(*found)
        assert room.started == list(range(len(room.started)))
        assert room.held <= at_once
        assert room.held == at_once or len(room.started) == asked
