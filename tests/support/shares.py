"""The order of tests in a parallel run: slow ones first, and each running server in as few processes as possible."""

from itertools import islice

import pytest


def in_shares(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests in the order in which the workers of pytest-xdist run them.

    Each worker starts with an equal share of the list. One without tests takes those at the end of another's share.
    So each kind of slow tests starts one share, and fast tests end all of them: then no second worker starts the server
    and the browser that the slow ones use.
    """
    slow: dict[int, list[pytest.Item]] = {0: [], 1: [], 2: []}
    fast: list[pytest.Item] = []
    for item in items:
        kind = kind_of(item)
        (fast if kind is None else slow[kind]).append(item)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for kind, tests in slow.items():
        shares[kind % workers] += tests
    rest, left = iter(fast), len(items)
    for number, share in enumerate(shares):
        share.extend(islice(rest, max(left // (workers - number) - len(share), 0)))
        left -= len(share)
    return [*(item for share in shares for item in share), *rest]


def kind_of(item: pytest.Item) -> int | None:
    """Return 0 for tests of pages in a browser, 1 for tests with a shared server, 2 for other slow ones."""
    if item.get_closest_marker("system") is None:
        return None
    fixtures = getattr(item, "fixturenames", ())
    if not {"site", "browser"}.isdisjoint(fixtures):
        return 0
    return 2 if {"server", "server_without_workers"}.isdisjoint(fixtures) else 1
