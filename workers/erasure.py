"""People who asked to be forgotten: whatever the request that erased them could not have is forgotten here."""

from uuid import UUID

import psycopg

from shared.accounts import erasure
from shared.infra import db
from shared.infra.logging import get_logger
from shared.messages import ErasuresPending
from workers.broker import actor_for, worker_lifecycle

log = get_logger()


@actor_for(ErasuresPending)
def finish_erasures() -> None:
    """Look through what is left of everybody who was erased a short while ago, in batches. Harmless to run twice."""
    with db.connection() as conn:
        unfinished = erasure.list_pending(conn)
    for player_id in unfinished:
        try:
            if not _finish_erasure(player_id):
                return
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            log.exception("erasure_failed", player_id=str(player_id))  # the others are forgotten all the same


def _finish_erasure(player_id: UUID) -> bool:
    """What is left of one of them; False where the process is about to end."""
    after = None
    while not worker_lifecycle.stopping.is_set():
        with db.connection() as conn:
            after = erasure.erase_scans(conn, player_id, after, limit=erasure.BATCH)
        if after is None:
            break
    else:
        return False
    with db.transaction() as conn:
        erasure.erase_traces(conn, player_id)
        if erasure.finish_if_done(conn, player_id):
            log.info("player_erased", player_id=str(player_id))
    return True
