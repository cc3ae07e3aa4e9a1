"""CSV files (RFC 4180), read page by page while they are sent.

Memory use is constant, and no connection is held while a client reads.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from flask import Response

from shared.infra.event_loop import yielding
from web.http.file_responses import SlotBoundIterator, prime
from web.http.schemas import CsvQuery

Rows = Iterable[Sequence[str]]


def csv_response(
    header: Sequence[str], read_pages: Callable[[], Iterator[Rows]], query: CsvQuery, *, filename: str
) -> Response:
    """Return the rows of all pages as a file. The caller has escaped formulas.

    Raise TooManyDownloads, before anything is read, if no download slot is free.
    """
    return Response(
        SlotBoundIterator(lambda: prime(_parts(header, read_pages(), query.start))),
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def csv_openapi(description: str, example: str) -> dict[str | int, Any]:
    """Return the OpenAPI response of a view that returns a CSV file. `example` is its first lines."""
    return {
        200: {
            "description": description,
            "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
            "content": {"text/csv": {"schema": {"type": "string"}, "example": example}},
        }
    }


def _parts(header: Sequence[str], pages: Iterator[Rows], start: str) -> Iterator[str]:
    """Yield `start`, the header and the first page, then each other page."""
    text = StringIO()
    text.write(start)
    writer = csv.writer(text)
    writer.writerow(header)
    for rows in pages:
        writer.writerows(yielding(rows))
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    if text.tell():
        yield text.getvalue()
