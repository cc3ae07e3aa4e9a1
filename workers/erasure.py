"""People who asked to be forgotten: whatever the request that erased them could not have is forgotten here."""

from uuid import UUID

import psycopg

from shared.accounts import erasure
from shared.infra import db
from shared.infra.logging import get_logger
from shared.messages import ErasuresPending
from workers.broker import handles, process_life

log = get_logger()


@handles(ErasuresPending)
def forget_the_rest() -> None:
    """Look through what is left of everybody who was erased a short while ago, in batches. Harmless to run twice."""
    with db.connection() as conn:
        unfinished = erasure.unfinished(conn)
    for player_id in unfinished:
        try:
            if not _look_through(player_id):
                return
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            log.exception("erasure_failed", player_id=str(player_id))  # the others are forgotten all the same


def _look_through(player_id: UUID) -> bool:
    """What is left of one of them; False where the process is about to end."""
    after = None
    while not process_life.stopping.is_set():
        with db.connection() as conn:
            after = erasure.forget_scans(conn, player_id, after, limit=erasure.BATCH)
        if after is None:
            break
    else:
        return False
    with db.transaction() as conn:
        erasure.forget_traces(conn, player_id)
        if erasure.conclude(conn, player_id):
            log.info("player_forgotten", player_id=str(player_id))
    return True
