"""The days of a daily quest, from its events."""

from datetime import date
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.quests.counted_days import list_counted_days
from tests.support.factories import make_player

MONDAY, TUESDAY, FRIDAY = (date(2026, 11, day) for day in (23, 24, 27))


@pytest.mark.parametrize(
    ("events", "days"),
    [
        ([("quest_step", MONDAY), ("quest_step", TUESDAY), ("quest_step", FRIDAY)], [TUESDAY, FRIDAY]),
        ([("quest_step", TUESDAY), ("action_ignored", TUESDAY), ("quest_step", FRIDAY)], [TUESDAY, FRIDAY]),
        ([("quest_step", TUESDAY), ("quest_step", FRIDAY), ("quest_completed", None)], [TUESDAY, FRIDAY]),
        ([("quest_step", MONDAY), ("quest_step", FRIDAY), ("scans_retracted", None)], None),
        ([("quest_step", FRIDAY), ("scans_reordered", TUESDAY)], None),
        ([("quest_step", None), ("quest_step", FRIDAY)], None),
        ([], None),
    ],
    ids=["newest two", "with an ignored action", "completed", "annulled", "late", "not daily before", "none"],
)
def test_days_are_those_of_the_newest_steps(conn: Conn, events: list[tuple[str, Any]], days: list[date] | None) -> None:
    player, other = make_player(conn), make_player(conn)
    for version, (kind, day) in enumerate(events, start=1):
        for owner in (player, other)[: 2 if version == 1 else 1]:
            conn.execute(
                """
                INSERT INTO quest_events (player_id, quest, version, id, type, data, at)
                VALUES (%s, 'trail', %s, %s, %s, %s, now())
                """,
                (owner, version, uuid7(), kind, Jsonb({"day": day.isoformat()} if day else {})),
            )

    assert list_counted_days(conn, player, {"trail": 2, "none": 3}) == ({"trail": days} if days else {})
