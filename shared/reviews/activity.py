"""What happens in several organizations at once, in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn


@dataclass(frozen=True)
class Activity:
    """Held scans of an organization, and the time of its last aggregated scan."""

    org_id: UUID
    held: int
    last_scan_at: datetime | None


def activity_by_organization(conn: Conn, org_ids: Sequence[UUID]) -> dict[UUID, Activity]:
    """Return the activity of these organizations, by id."""
    with conn.cursor(row_factory=class_row(Activity)) as cursor:
        found = cursor.execute(
            """
            SELECT o.id AS org_id,
                   (SELECT count(*) FROM player_scans s WHERE s.org_id = o.id AND s.status = 'held') AS held,
                   (SELECT r.last_at FROM scan_rollup_daily r
                    WHERE r.subject_id = o.id AND r.last_at IS NOT NULL ORDER BY r.day DESC LIMIT 1) AS last_scan_at
            FROM unnest(%(org_ids)s::uuid[]) o (id)
            """,
            {"org_ids": list(org_ids)},
        ).fetchall()
    return {activity.org_id: activity for activity in found}
