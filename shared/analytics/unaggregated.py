"""The tail: what is settled and visited already, and not yet in the rollups. Read in the same snapshot as they are."""

from dataclasses import dataclass
from uuid import UUID

from shared.analytics.rollup_queries import EVENT_FACTS, SCAN_DELTAS, VISIT_DELTAS
from shared.infra.event_log import ROLLUPS, VISITS

LONGEST = 2_000
"""Events, or visits. A longer tail is left out, and `as_of` says since when: an answer is late rather than slow."""


@dataclass(frozen=True)
class RollupSubject:
    """A code, or an organization as a whole."""

    id: UUID
    org_id: UUID

    def parameters(self) -> dict[str, object]:
        """What TAIL asks for."""
        return {"subject": self.id, "org": self.org_id, "longest": LONGEST}


def _position_sql(name: str) -> str:
    found = f"FROM log_positions WHERE name = '{name}'"
    return f"(coalesce((SELECT xid {found}), '0'::xid8), coalesce((SELECT id {found}), 0))"


UNAGGREGATED = f"""
    WITH events_read AS MATERIALIZED (
        SELECT type, data, at FROM events WHERE org_id = %(org)s AND (xid, id) > {_position_sql(ROLLUPS)}
        ORDER BY xid, id LIMIT %(longest)s + 1
    ), visits_read AS MATERIALIZED (
        SELECT qr_code_id, at, device FROM visits WHERE (xid, id) > {_position_sql(VISITS)}
        ORDER BY xid, id LIMIT %(longest)s + 1
    ), complete AS MATERIALIZED (
        SELECT (SELECT count(*) FROM events_read) <= %(longest)s AS events,
               (SELECT count(*) FROM visits_read) <= %(longest)s AS visits
    ), scan_events AS (
        SELECT type, data FROM events_read WHERE (SELECT events FROM complete)
    ), new_visits AS (
        SELECT qr_code_id, at, device FROM visits_read WHERE (SELECT visits FROM complete)
    ), facts AS ({EVENT_FACTS}
    ), deltas AS MATERIALIZED ({SCAN_DELTAS} WHERE subject_id = %(subject)s
    ), visit_deltas AS MATERIALIZED ({VISIT_DELTAS} WHERE subject_id = %(subject)s
    )
"""  # noqa: S608 - put together from constants
"""What precedes a SELECT: `deltas` and `visit_deltas`, of one subject."""

AS_OF = """
    least(CASE WHEN (SELECT events FROM complete) THEN now() ELSE (SELECT min(at) FROM events_read) END,
          CASE WHEN (SELECT visits FROM complete) THEN now() ELSE (SELECT min(at) FROM visits_read) END)
"""
"""Up to when everything is counted."""
IS_COMPLETE = "(SELECT events AND visits FROM complete)"
