"""Long histories, made by the rules and put into PostgreSQL as they stand."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared.db import Conn
from shared.ids import uuid7
from shared.quests.rules import Action, Claim, Quest, QuestEvent, Reward, State, decide, fold, write_state

SIGNIN = Quest("sign-in", streak=3, duplication=1_000, reward=Reward("coin", 10))
WALK = Quest("walk", streak=3, duplication=1_000, auto_claim=True, reward=Reward("ruby", 1), by_scans=True)
START = datetime(2026, 1, 1, tzinfo=UTC)
CODES = [UUID(int=n) for n in range(1, 4)]


def history(quest: Quest, n: int) -> tuple[State, list[QuestEvent]]:
    """At least `n` events of one player: rounds, each claimed."""
    state, log = State(), list[QuestEvent]()
    while len(log) < n:
        at = START + timedelta(minutes=len(log))
        commands: list[Action | Claim] = [Action(at, at.date(), uuid7(), code) for code in CODES]
        if quest is SIGNIN:
            commands = [*[Action(at, at.date())] * 3, Claim(at)]
        for command in commands:
            events = decide(state, command, quest)
            state, log = fold(events, state), [*log, *events]
    return state, log


def fill(conn: Conn, players: int, each: int) -> int:
    """So many players with two quests of at least `each` events. Returns how many events there are."""
    conn.execute("INSERT INTO players (username) SELECT 'hist' || n FROM generate_series(1, %s) n", (players,))
    ids = [row[0] for row in conn.execute("SELECT id FROM players WHERE username ~ '^hist[0-9]+$' ORDER BY id")]
    histories = {quest.name: history(quest, each) for quest in (SIGNIN, WALK)}
    with conn.cursor() as cursor:
        with cursor.copy(
            "COPY quest_events (player_id, quest, version, id, type, data, scan_id, at) FROM STDIN"
        ) as copy:
            for row in _events(ids, histories):
                copy.write_row(row)
        columns = "player_id, quest, version, progress, completions, claims, steps, last_day"
        with cursor.copy(f"COPY quest_states ({columns}) FROM STDIN") as copy:
            for player_id in ids:
                for quest, (state, _) in histories.items():
                    told = write_state(state)
                    steps = json.dumps(told["steps"])
                    copy.write_row(
                        (player_id, quest, state.version, state.progress, state.completions, state.claims, steps, None)
                    )
    return sum(len(log) for _, log in histories.values()) * len(ids)


def _events(players: list[UUID], histories: dict[str, tuple[State, list[QuestEvent]]]) -> Iterator[tuple[Any, ...]]:
    for player_id in players:
        for quest, (_, log) in histories.items():
            for version, event in enumerate(log, 1):
                scan_id = event.scan_id and uuid7()
                yield player_id, quest, version, uuid7(), event.type, json.dumps(event.data), scan_id, event.at
