"""The statements of a request: a page or a list costs the same number for one row and for fifty."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg


@contextmanager
def collected_queries() -> Iterator[list[str]]:
    """Collect the statements that this process executes."""
    queries: list[str] = []
    execute = psycopg.Cursor.execute

    def collect(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        queries.append(str(query))
        return execute(cursor, query, *args, **kwargs)

    with patch.object(psycopg.Cursor, "execute", collect):
        yield queries
