"""The days that count toward a daily quest, from its events."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from shared.infra.db import Conn


def list_counted_days(conn: Conn, player_id: UUID, steps: Mapping[str, int]) -> dict[str, list[date]]:
    """Return the days of the newest steps of the player's daily quests, oldest first. `steps` is how many, by quest.

    A quest is left out if its days are not certain: late or annulled scans have changed them since, or it was not
    daily then.
    """
    rows = conn.execute(
        """
        SELECT wanted.quest, array_agg(newest.type ORDER BY newest.version),
               array_agg((newest.data ->> 'day')::date ORDER BY newest.version)
        FROM unnest(%(quests)s::text[], %(steps)s::integer[]) AS wanted (quest, steps)
        CROSS JOIN LATERAL (
            SELECT e.version, e.type, e.data FROM quest_events e
            WHERE e.player_id = %(player_id)s AND e.quest = wanted.quest
              AND e.type IN ('quest_step', 'scans_reordered', 'scans_retracted')
            ORDER BY e.version DESC LIMIT wanted.steps
        ) newest
        GROUP BY wanted.quest
        """,
        {"player_id": player_id, "quests": list(steps), "steps": list(steps.values())},
    )
    return {quest: days for quest, types, days in rows if set(types) == {"quest_step"} and None not in days}
