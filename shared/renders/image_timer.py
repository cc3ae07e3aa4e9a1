"""Time limits of the images of a chunk: an image that takes too long is interrupted, and fails alone.

A second thread counts seconds while an image is rendered, and then raises an exception in the rendering thread, as the
time limits of Dramatiq do. It takes effect when the thread runs Python again. C code that hangs ends the process, see
`workers/time_limits.py`. The seconds are counted, not read from a clock: a halted process uses none.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import DomainError

TICK_SECONDS = 1.0
IMAGE_SECONDS = 20
"""A hundred times the duration of the slowest kind of image."""
CHUNK_SECONDS = 120
"""For the images of a chunk together, without the storage and PostgreSQL."""


class ImageTooSlow(DomainError):
    """Rendering this image took longer than 20 seconds."""


class ChunkTooSlow(DomainError):
    """Rendering this image and those before it took longer than 2 minutes. Render fewer codes, or smaller images."""


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
        """Raise ChunkTooSlow in the block, which works on all images, after CHUNK_SECONDS."""
        with self._limit(CHUNK_SECONDS, ChunkTooSlow):
            yield

    @contextmanager
    def _limit(self, seconds: int, error: type[DomainError]) -> Iterator[None]:
        try:
            with self._lock:
                self._seconds_left, self._error = seconds, error
            yield
        finally:
            # An exception that was raised, but has not taken effect, is withdrawn: it must not hit what follows.
            with self._lock:
                self._error = None
                _raise_in_thread(self._thread_id, None)

    def _count(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            with self._lock:
                if self._error is None:
                    continue
                self._seconds_left -= 1
                self._chunk_seconds_left -= 1
                if self._seconds_left <= 0:
                    _raise_in_thread(self._thread_id, self._error)
                    self._error = None


def _raise_in_thread(thread_id: int, error: type[DomainError] | None) -> None:
    """Raise an exception in another thread, or withdraw one that has not taken effect."""
    exception = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), exception)
