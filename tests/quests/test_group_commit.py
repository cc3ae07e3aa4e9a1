"""Requests that arrive while a batch runs form the next batch."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.quests.group_commit import GroupCommit
from tests.support.concurrency import run_concurrently


def test_a_single_item_runs_at_once() -> None:
    batches: list[Sequence[int]] = []

    def carry_out(items: Sequence[int]) -> list[int]:
        batches.append(items)
        return [-item for item in items]

    together = GroupCommit(carry_out, limit=10)
    assert [together.submit(n) for n in range(3)] == [0, -1, -2]
    assert batches == [[0], [1], [2]]


def test_waiting_items_form_one_batch_with_a_result_each() -> None:
    """The other items wait while the first batch is blocked, and form batches up to the limit."""
    batches: list[int] = []
    held, entered = threading.Event(), threading.Event()

    def carry_out(items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        entered.set()
        held.wait(10)
        return [item * 2 for item in items]

    together = GroupCommit(carry_out, limit=30, concurrency=1)
    with ThreadPoolExecutor(100) as threads:
        first = threads.submit(together.submit, 0)
        entered.wait(10)
        others = [threads.submit(together.submit, n) for n in range(1, 100)]
        while len(together._waiting) < 99:
            pass
        held.set()
        assert first.result(10) == 0
        assert [other.result(10) for other in others] == [2 * n for n in range(1, 100)]
    assert batches == [1, 30, 30, 30, 9]
    assert together.submit(5) == 10


def test_many_rounds_complete_every_item() -> None:
    together: GroupCommit[int, int] = GroupCommit(list, limit=7)

    def work() -> list[int]:
        return [together.submit(n) for n in range(200)]

    assert run_concurrently([work] * 16) == [list(range(200))] * 16


def test_an_error_of_a_batch_reaches_each_caller_and_no_other() -> None:
    def carry_out(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ZeroDivisionError
        return list(items)

    together = GroupCommit(carry_out, limit=10)
    with pytest.raises(ZeroDivisionError):
        together.submit(13)
    assert together.submit(1) == 1
