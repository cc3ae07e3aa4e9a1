"""Counts of events and visits that are not in the rollups yet, read in the same snapshot as the rollups."""

from dataclasses import dataclass
from uuid import UUID

from shared.analytics.rollup_queries import EVENT_FACTS, SCAN_DELTAS, VISIT_DELTAS

MAX_UNAGGREGATED = 2_000
"""Events, or visits. More are left out, and `as_of` has the time up to which everything is counted."""


@dataclass(frozen=True)
class RollupSubject:
    """A code or an organization, whose statistics are read."""

    id: UUID
    org_id: UUID

    def parameters(self) -> dict[str, object]:
        """Return the parameters of UNAGGREGATED."""
        return {"subject": self.id, "org": self.org_id, "limit": MAX_UNAGGREGATED}


UNAGGREGATED_FACTS = (
    """
    WITH events_read AS MATERIALIZED (
        (
            SELECT type, data, at FROM events
            WHERE position > coalesce((SELECT position FROM log_positions WHERE name = 'rollups'), 0)
              AND org_id = %(org)s
            ORDER BY position LIMIT %(limit)s + 1
        )
        UNION ALL
        SELECT type, data, at FROM events WHERE position IS NULL AND org_id = %(org)s
        LIMIT %(limit)s + 1
    ), visits_read AS MATERIALIZED (
        SELECT qr_code_id, at, device FROM visits WHERE NOT is_rolled_up ORDER BY id LIMIT %(limit)s + 1
    ), complete AS MATERIALIZED (
        SELECT (SELECT count(*) FROM events_read) <= %(limit)s AS events,
               (SELECT count(*) FROM visits_read) <= %(limit)s AS visits
    ), scan_events AS (
        SELECT type, data FROM events_read WHERE (SELECT events FROM complete)
    ), new_visits AS (
        SELECT qr_code_id, at, device FROM visits_read WHERE (SELECT visits FROM complete)
    ), facts AS ("""
    + EVENT_FACTS
    + ")"
)
"""The start of a statement, with the CTE members `facts` and `new_visits` of an organization."""
UNAGGREGATED = (
    UNAGGREGATED_FACTS
    + ", deltas AS MATERIALIZED ("
    + SCAN_DELTAS
    + " WHERE subject_id = %(subject)s), visit_deltas AS MATERIALIZED ("
    + VISIT_DELTAS
    + " WHERE subject_id = %(subject)s)"
)
"""The start of a statement, with the CTE members `deltas` and `visit_deltas` of one subject."""

AS_OF = """
    least(CASE WHEN (SELECT events FROM complete) THEN now() ELSE (SELECT min(at) FROM events_read) END,
          CASE WHEN (SELECT visits FROM complete) THEN now() ELSE (SELECT min(at) FROM visits_read) END,
          CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END)
"""
"""The time up to which everything is counted. A replica has what was committed until the last replayed commit."""
IS_COMPLETE = "(SELECT events AND visits FROM complete)"
