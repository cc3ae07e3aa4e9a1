"""What a process makes once."""

import threading
from concurrent.futures import ThreadPoolExecutor

from shared.infra.per_process import per_process


def test_threads_that_come_at_once_get_the_same() -> None:
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


def test_a_value_is_made_again_after_a_reset() -> None:
    made = per_process(object)
    first = made()
    assert made.reset() is first
    assert made.reset() is None
    assert made() is not first
