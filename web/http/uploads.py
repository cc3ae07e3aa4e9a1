"""Request bodies that are files. They are spooled first, so no PostgreSQL connection waits for a client's upload."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from flask import g, request

MAX_MEMORY_BYTES = 256 * 1024
READ_SIZE = 64 * 1024


@contextmanager
def spooled_body() -> Iterator[BinaryIO]:
    """Yield the body as a file, at its start. A body over 256 KiB is on disk. The file is deleted on exit.

    Raise RequestEntityTooLarge as soon as the body exceeds the view's limit, also without a Content-Length.
    """
    digest = sha256()
    with SpooledTemporaryFile(MAX_MEMORY_BYTES) as file:
        while chunk := request.stream.read(READ_SIZE):
            digest.update(chunk)
            file.write(chunk)
        file.seek(0)
        g.body_digest = digest.hexdigest()
        yield cast("BinaryIO", file)
