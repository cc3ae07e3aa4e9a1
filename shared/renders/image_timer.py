"""Time limits of the images of a chunk: an image that takes too long is interrupted, and fails alone.

A second thread counts seconds while an image is rendered, and then raises an exception in the rendering thread, as the
time limits of Dramatiq do. It takes effect when the thread runs Python again. C code that hangs ends the process, see
`workers/time_limits.py`. The seconds are counted, not read from a clock: a halted process uses none.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dramatiq.middleware import raise_thread_exception

from shared.errors import DomainError

TICK_SECONDS = 1.0
IMAGE_SECONDS = 10
"""Shorter than a lease. The slowest kind of image takes 30 milliseconds of processor time."""
CHUNK_SECONDS = 60
"""For the images of a chunk together, without the storage and PostgreSQL."""


class ImageTooSlow(DomainError):
    """Rendering this image took longer than 10 seconds."""


class ChunkTooSlow(DomainError):
    """This image was not rendered: those before it took longer than one minute. Render it again."""


class ImageTimer:
    """The timer of one chunk, for the thread that makes it. At the end of its context, the second thread ends."""

    def __init__(self) -> None:
        self._thread_id = threading.get_ident()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._seconds_left = 0
        self._error: type[DomainError] | None = None
        self._chunk_seconds_left = CHUNK_SECONDS

    def __enter__(self) -> "ImageTimer":
        threading.Thread(target=self._count, name="image-timer", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    @contextmanager
    def limit_image(self) -> Iterator[None]:
        """Raise ImageTooSlow in the block after IMAGE_SECONDS, and ChunkTooSlow before it if no time is left.

        The block must not use PostgreSQL: an interrupted statement leaves its connection unusable.
        """
        if self._chunk_seconds_left <= 0:
            raise ChunkTooSlow
        with self._limit(IMAGE_SECONDS, ImageTooSlow):
            yield

    @contextmanager
    def limit_pages(self) -> Iterator[None]:
        """Raise ChunkTooSlow in the block, which works on several images, after IMAGE_SECONDS."""
        with self._limit(IMAGE_SECONDS, ChunkTooSlow):
            yield

    @contextmanager
    def _limit(self, seconds: int, error: type[DomainError]) -> Iterator[None]:
        try:
            with self._lock:
                self._seconds_left, self._error = seconds, error
            yield
        finally:
            with self._lock:
                self._error = None
            _let_exception_take_effect()

    def _count(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            with self._lock:
                if self._error is None:
                    continue
                self._seconds_left -= 1
                self._chunk_seconds_left -= 1
                if self._seconds_left <= 0:
                    raise_thread_exception(self._thread_id, self._error)
                    self._error = None


def _let_exception_take_effect() -> None:
    """Do nothing. An exception that another thread raised here takes effect at the call of a Python function at the
    latest, so it cannot hit what follows."""
