"""Group commit for requests: those that come while one batch is committed make up the next."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Request(Generic[Item, Result]):
    """A thread that waits for its item's result, or to carry out a batch that its own item is the first of."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.turn = threading.Lock()  # much cheaper than an event: held until it is this thread's turn
        self.turn.acquire()
        self.batch: list[_Request[Item, Result]] = []
        self.results: list[Result] = []
        self.error: BaseException | None = None

    def result(self) -> Result:
        if self.error is not None:
            raise self.error
        return self.results[0]


class GroupCommit(Generic[Item, Result]):
    """Runs items in batches, `at_once` of them in parallel: while PostgreSQL runs one, the next is prepared.

    A caller that comes while fewer run starts a batch of its own, so light load does not wait. When a batch ends, the
    first waiting caller runs the items of all that wait. No caller runs more than one batch for others.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[Item]], Sequence[Result]], *, limit: int, at_once: int = 2
    ) -> None:
        self._carry_out = carry_out
        self._limit = limit
        self._free = at_once
        self._lock = threading.Lock()
        self._waiting: list[_Request[Item, Result]] = []

    def submit(self, item: Item) -> Result:
        """The item's own result. Raises what its batch raised."""
        place = _Request[Item, Result](item)
        with self._lock:
            if self._free:
                self._free -= 1
                place.batch = [place]
            else:
                self._waiting.append(place)
        if not place.batch:
            place.turn.acquire()
        if place.batch:
            self._run_batch(place.batch)
        return place.result()

    def _run_batch(self, batch: Sequence[_Request[Item, Result]]) -> None:
        """Carry out a batch, and hand on to the next."""
        try:
            results = self._carry_out([place.item for place in batch])
            for place, result in zip(batch, results, strict=True):
                place.results.append(result)
        except BaseException as error:  # noqa: BLE001 - raised again, by each of them
            for place in batch:
                place.error = error
        finally:
            with self._lock:
                following, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                if following:
                    following[0].batch = following
                else:
                    self._free += 1
            for place in (*batch[1:], *following[:1]):
                place.turn.release()
