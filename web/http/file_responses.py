"""Send a stored file: whole, or one range of it (RFC 9110, 13 and 14). Files are streamed, never held in memory."""

import re
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from flask import Flask, Response, current_app, request
from werkzeug.http import parse_range_header

from shared.errors import NotFound, TooManyDownloads, Unavailable
from shared.infra.logging import get_logger
from shared.infra.storage.base import FileMissing, StorageError
from web.http.problems import problem

log = get_logger()

Piece = TypeVar("Piece")
SLOTS = "waymark_download_slots"
MAX_DOWNLOADS = 32
"""Concurrent downloads of one process."""
# The last 0 bytes: well-formed, and unsatisfiable for every file (RFC 9110, 14.1.2).
EMPTY_SUFFIX_RANGE = re.compile(r"bytes[ \t]*=[ \t]*-0+[ \t]*", re.IGNORECASE)
HEADERS = {
    "ETag": {"schema": {"type": "string"}, "description": "Strong: a file never changes"},
    "Accept-Ranges": {"schema": {"type": "string"}},
    "Content-Disposition": {"schema": {"type": "string"}},
}


def init_app(app: Flask, limit: int) -> None:
    """Let this process send up to `limit` files at a time."""
    app.extensions[SLOTS] = slots(limit)


def openapi_responses(*content_types: str) -> dict[str | int, Any]:
    """Return the OpenAPI responses of a view that sends a file of one of these types."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in content_types}
    part = HEADERS | {"Content-Range": {"schema": {"type": "string"}}}
    return {
        200: {"description": "The file", "headers": HEADERS, "content": content},
        206: {"description": "The requested range of the file", "headers": part, "content": content},
        304: {"description": "The file matches If-None-Match."},
        416: None,
    }


def slots(n: int) -> SimpleQueue[None]:
    """Return a queue with `n` free slots. A slot can be released at any moment, also during garbage collection."""
    free: SimpleQueue[None] = SimpleQueue()
    for _ in range(n):
        free.put(None)
    return free


class SlotBoundIterator(Iterator[Piece], Generic[Piece]):
    """A response body that holds a download slot until it is exhausted, closed or garbage collected.

    Raise TooManyDownloads, before `begin` is called, if no slot is free.
    """

    def __init__(self, begin: Callable[[], Iterator[Piece]]) -> None:
        free: SimpleQueue[None] = current_app.extensions[SLOTS]
        try:
            free.get_nowait()
        except Empty:
            raise TooManyDownloads from None
        self._release: Callable[[], object] = weakref.finalize(self, free.put, None)
        try:
            self._pieces: Iterator[Piece] = begin()
        except BaseException:
            self._release()
            raise

    def __next__(self) -> Piece:
        try:
            return next(self._pieces)
        except StopIteration:
            self._release()
            raise

    def close(self) -> None:
        try:
            if close := getattr(self._pieces, "close", None):
                close()
        finally:
            self._release()


def prime(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Compute the first piece now, so that an error still becomes an error response."""
    return chain([next(pieces)], pieces)


class ByteRange(NamedTuple):
    """The bytes from `start` up to, but not including, `stop`."""

    start: int
    stop: int


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Return the single range of a Range header.

    Return None for the whole file: if the header is missing, malformed, of another unit, or has several ranges, which
    a server may ignore. Raise ValueError, with the Content-Range, if the file has no byte of the range.
    """
    if EMPTY_SUFFIX_RANGE.fullmatch(header or ""):
        raise ValueError(f"bytes */{size}")
    parsed = parse_range_header(header)
    if parsed is None or parsed.units != "bytes" or len(parsed.ranges) != 1:
        return None
    ((start, stop),) = parsed.ranges
    if start < 0:  # the last bytes
        start, stop = max(0, size + start), size
    stop = size if stop is None else min(stop, size)
    if start >= stop:
        raise ValueError(f"bytes */{size}")
    return ByteRange(start, stop)


def send_file(
    read: Callable[[int, int], Iterator[bytes]],
    *,
    name: str,
    size: int,
    tag: str,
    content_type: str,
    filename: str,
) -> Response:
    """Return the response to this request for a file: 200, 206, 304 or 416.

    `read(start, stop)` yields the bytes from `start` to before `stop`. `name` is that in the storage. `tag` is the
    ETag without quotes.
    """
    response = Response(content_type=content_type)
    response.set_etag(tag)
    response.accept_ranges = "bytes"
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    if request.if_none_match.contains_weak(tag):
        response.status_code = 304
        return response
    byte_range = ByteRange(0, size)
    if "If-Range" not in request.headers or request.headers["If-Range"] == f'"{tag}"':
        try:
            requested = parse_range(request.headers.get("Range"), size)
        except ValueError as error:
            unsatisfiable = problem(416, f"The file has {size:,} bytes, and none in the requested range.")
            unsatisfiable.headers["Content-Range"] = str(error)
            return unsatisfiable
        if requested is not None:
            byte_range = requested
            response.status_code = 206
            response.headers["Content-Range"] = f"bytes {byte_range.start}-{byte_range.stop - 1}/{size}"
    if request.method != "HEAD":
        try:
            response.response = SlotBoundIterator(lambda: read(*byte_range))
        except FileMissing as error:
            log.exception("file_missing", path=request.path)
            raise NotFound(f"This file is missing. The storage for files should have it as {name}.") from error
        except StorageError as error:
            log.warning("storage_unavailable", error=str(error))
            raise Unavailable from error
    response.content_length = byte_range.stop - byte_range.start
    return response
