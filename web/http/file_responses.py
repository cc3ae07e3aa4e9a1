"""A stored file as an answer: whole, or the range that is asked for (RFC 9110, 13 and 14), never held in memory."""

import re
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from flask import Response, request
from werkzeug.http import parse_range_header

from shared.errors import NotFound, TooManyDownloads, Unavailable
from shared.infra.logging import get_logger
from shared.infra.storage.base import FileMissing, StorageError
from shared.settings import settings
from web.http.problems import problem

log = get_logger()

Piece = TypeVar("Piece")
EMPTY_SUFFIX_RANGE = re.compile(r"bytes[ \t]*=[ \t]*-0+[ \t]*", re.IGNORECASE)
"""The last no bytes: well-formed, and of no file (RFC 9110, 14.1.2)."""
HEADERS = {
    "ETag": {"schema": {"type": "string"}, "description": "Strong: the file never changes"},
    "Accept-Ranges": {"schema": {"type": "string"}},
    "Content-Disposition": {"schema": {"type": "string"}},
}


def openapi_responses(*content_types: str) -> dict[str | int, Any]:
    """What OpenAPI is told of such an answer."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in content_types}
    part = HEADERS | {"Content-Range": {"schema": {"type": "string"}}}
    return {
        200: {"description": "The file", "headers": HEADERS, "content": content},
        206: {"description": "The range of it that was asked for", "headers": part, "content": content},
        304: {"description": "The file is the one that If-None-Match names."},
        416: None,
    }


def slots(n: int) -> SimpleQueue[None]:
    """So many places. One may be given back at any moment, as when garbage is collected: this queue allows it."""
    made: SimpleQueue[None] = SimpleQueue()
    for _ in range(n):
        made.put(None)
    return made


places = slots(settings().download_limit)


class SlotBoundIterator(Iterator[Piece], Generic[Piece]):
    """An answer that is read piece by piece, in one of the process's places: given back at its end, when it is closed,
    and when it is dropped. Raises TooManyDownloads before anything is opened."""

    def __init__(self, begin: Callable[[], Iterator[Piece]]) -> None:
        try:
            places.get_nowait()
        except Empty:
            raise TooManyDownloads from None
        self._give_back: Callable[[], object] = weakref.finalize(self, places.put, None)
        try:
            self._pieces: Iterator[Piece] = begin()
        except BaseException:
            self._give_back()
            raise

    def __next__(self) -> Piece:
        try:
            return next(self._pieces)
        except StopIteration:
            self._give_back()
            raise

    def close(self) -> None:
        try:
            if close := getattr(self._pieces, "close", None):
                close()
        finally:
            self._give_back()


def prime(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """With the first piece there already: while an error still gets an answer of its own."""
    return chain([next(pieces)], pieces)


class ByteRange(NamedTuple):
    """The bytes from `start` to before `stop`."""

    start: int
    stop: int


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that a Range header asks for. None for the whole file: where there is no such header, where it is
    malformed or of another unit, and where it asks for several, which a server may answer with all. Raises ValueError
    where the file has none of it."""
    if EMPTY_SUFFIX_RANGE.fullmatch(header or ""):
        raise ValueError(f"bytes */{size}")
    parsed = parse_range_header(header)
    if parsed is None or parsed.units != "bytes" or len(parsed.ranges) != 1:
        return None
    ((start, stop),) = parsed.ranges
    if start < 0:  # the last so many bytes
        start, stop = max(0, size + start), size
    stop = size if stop is None else min(stop, size)
    if start >= stop:
        raise ValueError(f"bytes */{size}")
    return ByteRange(start, stop)


def send_file(
    read: Callable[[int, int], Iterator[bytes]], *, size: int, tag: str, content_type: str, filename: str
) -> Response:
    """The answer to this request. `read` gives the bytes from its first argument to before its second."""
    response = Response(content_type=content_type)
    response.set_etag(tag)
    response.accept_ranges = "bytes"
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    if request.if_none_match.contains_weak(tag):
        response.status_code = 304
        return response
    span = ByteRange(0, size)
    if "If-Range" not in request.headers or request.headers["If-Range"] == f'"{tag}"':
        try:
            asked = parse_range(request.headers.get("Range"), size)
        except ValueError as error:
            refusal = problem(416, f"The file has {size:,} bytes, and none of those that are asked for.")
            refusal.headers["Content-Range"] = str(error)
            return refusal
        if asked is not None:
            span = asked
            response.status_code = 206
            response.headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    if request.method != "HEAD":
        try:
            response.response = SlotBoundIterator(lambda: read(*span))
        except FileMissing as error:
            log.exception("file_missing", path=request.path)
            raise NotFound from error
        except StorageError as error:
            log.warning("storage_unavailable", error=str(error))
            raise Unavailable from error
    response.content_length = span.stop - span.start
    return response
