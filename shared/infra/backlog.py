"""The backlog: how much work waits in each queue. Autoscalers read the same view."""

from dataclasses import dataclass

from psycopg.rows import class_row

from shared.infra.db import Conn


@dataclass(frozen=True)
class QueueBacklog:
    """The open work of one queue. `waiting` ends at a limit, which is 100,000 for scans."""

    queue: str
    waiting: int
    oldest_seconds: float


def load(conn: Conn) -> list[QueueBacklog]:
    """Return the backlog of every queue, in alphabetical order. A queue without work has zeros."""
    with conn.cursor(row_factory=class_row(QueueBacklog)) as cursor:
        return cursor.execute("SELECT queue, waiting, oldest_seconds FROM backlog ORDER BY queue").fetchall()
