"""Long histories, made by the rules and put into PostgreSQL as they stand."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.quests.rules import ClaimReward, Quest, QuestAction, QuestEvent, QuestReward, QuestState, decide, fold

SIGNIN = Quest("sign-in", streak=3, duplication=1_000, reward=QuestReward("coin", 10))
WALK = Quest("walk", streak=3, duplication=1_000, auto_claim=True, reward=QuestReward("ruby", 1), by_scans=True)
START = datetime(2026, 1, 1, tzinfo=UTC)
CODES = [UUID(int=n) for n in range(1, 4)]


def history(quest: Quest, n: int) -> tuple[QuestState, list[QuestEvent]]:
    """At least `n` events of one player: rounds, each claimed."""
    state, log = QuestState(), list[QuestEvent]()
    while len(log) < n:
        at = START + timedelta(minutes=len(log))
        commands: list[QuestAction | ClaimReward] = [QuestAction(at, ZoneInfo("UTC"), uuid7(), code) for code in CODES]
        if quest is SIGNIN:
            commands = [*[QuestAction(at, ZoneInfo("UTC"))] * 3, ClaimReward(at)]
        for command in commands:
            events = decide(state, command, quest)
            state, log = fold(events, state), [*log, *events]
    return state, log


def fill(conn: Conn, players: int, each: int) -> int:
    """Insert players with two quests of at least `each` events. Return the number of events."""
    conn.execute("INSERT INTO players (username) SELECT 'hist' || n FROM generate_series(1, %s) n", (players,))
    events = 0
    for quest in (SIGNIN, WALK):
        state, log = history(quest, each)
        events += len(log) * players
        told = [{"version": n, "type": e.type, "data": e.data, "at": e.at.isoformat()} for n, e in enumerate(log, 1)]
        conn.execute(
            """
            INSERT INTO quest_events (player_id, quest, version, id, type, data, scan_id, at)
            SELECT p.id, %s, e.version, gen_random_uuid(), e.type, e.data, CASE WHEN %s THEN gen_random_uuid() END, e.at
            FROM players p, jsonb_to_recordset(%s::jsonb) AS e (version int, type text, data jsonb, at timestamptz)
            WHERE p.username ~ '^hist[0-9]+$'
            """,
            (quest.name, quest.by_scans, json.dumps(told)),
        )
        conn.execute(
            """
            INSERT INTO quest_states (player_id, quest, version, progress, completions, claims, steps, last_action_at)
            SELECT id, %s, %s, %s, %s, %s, '[]', %s::timestamptz FROM players WHERE username ~ '^hist[0-9]+$'
            """,
            (quest.name, state.version, state.progress, state.completions, state.claims, state.last_action_at),
        )
    return events
