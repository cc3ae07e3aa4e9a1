"""Group commit: the requests that arrive while one batch is committed form the next batch."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Request(Generic[Item, Result]):
    """A thread that waits for the result of its item, or for its turn to run a batch that starts with its item."""

    def __init__(self, item: Item) -> None:
        self.item = item
        # Held until it is this thread's turn. Much cheaper than an event.
        self.turn = threading.Lock()
        self.turn.acquire()
        self.batch: list[_Request[Item, Result]] = []
        self.results: list[Result] = []
        self.error: BaseException | None = None

    def result(self) -> Result:
        if self.error is not None:
            raise self.error
        return self.results[0]


class GroupCommit(Generic[Item, Result]):
    """Runs items in batches, `concurrency` of them in parallel: while PostgreSQL runs one, the next is prepared.

    A caller that arrives while fewer run starts a batch of its own, so light load does not wait. When a batch ends, the
    first waiting caller runs the items of all that wait. No caller runs more than one batch for others.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result]], *, limit: int, concurrency: int = 2) -> None:
        self._run = run
        self._limit = limit
        self._free = concurrency
        self._lock = threading.Lock()
        self._waiting: list[_Request[Item, Result]] = []

    def submit(self, item: Item) -> Result:
        """Return the result of the item. Raises the error of its batch."""
        request = _Request[Item, Result](item)
        with self._lock:
            if self._free:
                self._free -= 1
                request.batch = [request]
            else:
                self._waiting.append(request)
        if not request.batch:
            request.turn.acquire()
        if request.batch:
            self._run_batch(request.batch)
        return request.result()

    def _run_batch(self, batch: Sequence[_Request[Item, Result]]) -> None:
        """Run a batch, then let the first of the waiting callers run the next."""
        try:
            results = self._run([request.item for request in batch])
            for request, result in zip(batch, results, strict=True):
                request.results.append(result)
        except BaseException as error:  # noqa: BLE001 - raised again in each of their threads
            for request in batch:
                request.error = error
        finally:
            with self._lock:
                next_batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                if next_batch:
                    next_batch[0].batch = next_batch
                else:
                    self._free += 1
            for request in (*batch[1:], *next_batch[:1]):
                request.turn.release()
