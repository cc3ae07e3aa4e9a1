"""The order of tests in a parallel run."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.shares import in_shares, kind_of

KINDS: dict[int | None, tuple[bool, list[str]]] = {
    0: (True, ["site", "phone"]),
    1: (True, ["server_without_workers"]),
    2: (True, ["tmp_path"]),
    None: (False, ["server"]),
}


def make_tests(*kinds: int | None) -> list[Any]:
    return [
        SimpleNamespace(get_closest_marker=lambda _, slow=KINDS[kind][0]: slow or None, fixturenames=KINDS[kind][1])
        for kind in kinds
    ]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 40])
def test_each_test_runs_once(workers: int) -> None:
    tests = make_tests(*[0] * 11, *[None] * 20, *[1] * 3, *[2] * 5)
    assert sorted(map(id, in_shares(tests, workers))) == sorted(map(id, tests))


def test_each_worker_starts_with_slow_tests_of_one_kind() -> None:
    tests = make_tests(*[None] * 20, 0, 1, 2, 0, 1, 2, 0)
    # As pytest-xdist divides them.
    shares = [in_shares(tests, 3)[start:end] for start, end in ((0, 9), (9, 18), (18, 27))]
    assert [[kind_of(test) for test in share[:4]] for share in shares] == [
        [0, 0, 0, None],
        [1, 1, None, None],
        [2, 2, None, None],
    ]
