"""Finish erasures: erase the personal data that the request of an erasure could not."""

from uuid import UUID

import psycopg

from shared.accounts import erasure
from shared.infra import db
from shared.infra.logging import get_logger
from shared.messages import ErasuresPending
from shared.scans import store as scans
from workers.broker import actor_for, worker_lifecycle
from workers.time_limits import ACTOR_SECONDS, time_limits

log = get_logger()
BATCH = 5_000
"""Scans per transaction."""


@actor_for(ErasuresPending)
@time_limits.limit(ACTOR_SECONDS)
def finish_erasures() -> None:
    """Erase what is left of all pending erasures, in batches. Harmless to run twice."""
    with db.connection() as conn:
        pending = erasure.list_pending(conn)
    for player_id in pending:
        try:
            if not _finish_erasure(player_id):
                return
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            # Stays pending, and is retried. The other erasures go on.
            log.exception("erasure_failed", player_id=str(player_id))


def _finish_erasure(player_id: UUID) -> bool:
    """Erase what is left of one player. Return False if the process is about to stop."""
    position = None
    while not worker_lifecycle.stopping.is_set():
        time_limits.extend()
        with db.connection() as conn:
            position = scans.erase_player(conn, player_id, position, limit=BATCH)
        if position is None:
            break
    else:
        return False
    with db.transaction() as conn:
        erasure.erase_traces(conn, player_id)
        if erasure.finish_if_done(conn, player_id):
            log.info("player_erased", player_id=str(player_id))
    return True
