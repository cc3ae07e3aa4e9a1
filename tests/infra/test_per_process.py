"""Values that a process creates once."""

import threading
from concurrent.futures import ThreadPoolExecutor

from shared.infra.per_process import per_process


def test_concurrent_threads_get_the_same_value() -> None:
    start = threading.Barrier(8)

    @per_process
    def make() -> object:
        threading.Event().wait(0.01)  # long enough for all to be inside
        return object()

    def ask(_: int) -> object:
        start.wait(10)
        return make()

    with ThreadPoolExecutor(8) as threads:
        assert len({id(made) for made in threads.map(ask, range(8))}) == 1


def test_reset_creates_a_new_value() -> None:
    made = per_process(object)
    first = made()
    assert made.reset() is first
    assert made.reset() is None
    assert made() is not first
