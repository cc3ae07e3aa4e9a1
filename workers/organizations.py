"""Erase organizations that were deleted more than seven days ago, in batches. The hourly cleanup calls it.

Imports and renders go first: their workers then lose their leases, and add no code and no file. The row of the
organization comes last, so an interrupted erasure is continued. Repeating a step changes nothing.
"""

from collections.abc import Callable
from functools import partial
from uuid import UUID

import psycopg

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.codes import erasure as codes
from shared.imports import store as imports
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import LOWEST
from shared.infra.logging import get_logger
from shared.organizations import closing
from shared.quests import definitions
from shared.redemptions import store as redemptions
from shared.renders import erasure as renders
from workers.broker import worker_lifecycle
from workers.time_limits import time_limits

log = get_logger()
STEPS: tuple[Callable[[Conn, UUID, UUID], UUID | None], ...] = (
    partial(imports.erase_organization, limit=10),
    partial(renders.erase_organization, limit=20),
    partial(codes.erase_organization, limit=1_000),
    partial(audit.erase_organization, limit=5_000),
)
"""Each erases a page of rows after an id, in a transaction of its own, and returns the last id, or None at the end."""


def erase_closed() -> int:
    """Erase all organizations that can no longer be restored. Return how many were erased."""
    with db.connection() as conn:
        due = closing.list_due(conn)
    erased = 0
    for org_id in due:
        try:
            erased += _erase(org_id)
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            # Stays due, and is retried. The other organizations are erased.
            log.exception("organization_erasure_failed", org_id=str(org_id))
    return erased


def _erase(org_id: UUID) -> bool:
    """Return False if the process is about to stop, or another worker has erased the organization."""
    for step in STEPS:
        position: UUID | None = LOWEST
        while position is not None:
            if worker_lifecycle.stopping.is_set():
                return False
            time_limits.extend()
            with db.transaction() as conn:
                if not closing.lock_due(conn, org_id):
                    return False
                position = step(conn, org_id, position)
    with db.transaction() as conn:
        if not closing.lock_due(conn, org_id):
            return False
        definitions.erase_organization(conn, org_id)
        redemptions.erase_organization(conn, org_id)
        closing.erase(conn, org_id)
        audit.record(conn, OPERATOR, "organization.erased", org_id=org_id, object_id=org_id)
    log.info("organization_erased", org_id=str(org_id))
    return True
