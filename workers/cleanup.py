"""Hourly: forget what has outlived its retention, in batches that hold no lock for long."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shared import db, events
from shared.accounts import idempotency
from shared.accounts import store as accounts
from shared.db import Conn
from shared.logging import get_logger
from shared.messages import CleanUp
from shared.settings import settings
from workers.broker import handles, process_life

log = get_logger()

BATCH = 5_000


@handles(CleanUp)
def clean_up() -> None:
    """Delete old events, ended sessions and idempotency keys. Harmless to run twice or side by side."""
    oldest = datetime.now(UTC) - timedelta(days=settings().event_retention_days)
    log.info(
        "cleaned_up",
        events=_in_batches(lambda conn: events.forget(conn, before=oldest, limit=BATCH)),
        refresh_families=_in_batches(lambda conn: accounts.forget_families(conn, limit=BATCH)),
        idempotency_keys=_in_batches(lambda conn: idempotency.forget(conn, limit=BATCH)),
    )


def _in_batches(delete: Callable[[Conn], int]) -> int:
    """Run a delete until it finds less than a batch, each in its own transaction. Returns how many rows went."""
    total = 0
    while not process_life.stopping.is_set():
        with db.connection() as conn:
            gone = delete(conn)
        total += gone
        if gone < BATCH:
            break
    return total
