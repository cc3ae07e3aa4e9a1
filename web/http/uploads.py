"""Files that come as the body of a request: put aside first, so that no connection to PostgreSQL waits for a client."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from flask import g, request

MAX_MEMORY_BYTES = 256 * 1024
PIECE = 64 * 1024


@contextmanager
def spooled_body() -> Iterator[BinaryIO]:
    """The body as a file at its beginning; it is gone when the context ends. Large ones are on disk, never in memory.

    Raises RequestEntityTooLarge as soon as it is longer than the view takes, whether or not the client said how long.
    """
    digest = sha256()
    with SpooledTemporaryFile(MAX_MEMORY_BYTES) as file:
        while piece := request.stream.read(PIECE):
            digest.update(piece)
            file.write(piece)
        file.seek(0)
        g.body_digest = digest.hexdigest()
        yield cast("BinaryIO", file)
