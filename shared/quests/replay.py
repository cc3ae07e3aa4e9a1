"""States rebuilt from events alone, beside the stored ones, and compared: in batches, so that memory stays flat."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from shared.infra import db
from shared.infra.db import Conn
from shared.quests.rules import QuestEvent, QuestState, fold, state_to_json
from shared.quests.store import STATE, PlayerQuestKey, read_row

BATCH = 20_000  # events
BEFORE_FIRST: PlayerQuestKey = (UUID(int=0), "")


@dataclass(frozen=True)
class Difference:
    """A stored state that is not what its events say. None: there is no such state, or there are no such events."""

    player_id: UUID
    quest: str
    stored: QuestState | None
    folded: QuestState | None

    def __str__(self) -> str:
        if self.stored is None or self.folded is None:
            what = "events without a state" if self.stored is None else "a state without events"
            return f"player {self.player_id}, {self.quest}: {what}"
        stored, folded = asdict(self.stored), asdict(self.folded)
        fields = (
            f"{name} {stored[name]!r}, by events {folded[name]!r}" for name in stored if stored[name] != folded[name]
        )
        return f"player {self.player_id}, {self.quest}: {'; '.join(fields)}"


@dataclass(frozen=True)
class ReplayCheckpoint:
    """How far a replay has come: the last player and quest compared, and what was found until there. The digests are
    chained over all states, of those folded and of those stored."""

    after: PlayerQuestKey = BEFORE_FIRST
    events: int = 0
    states: int = 0
    differences: int = 0
    folded_digest: bytes = b""
    stored_digest: bytes = b""


@dataclass(frozen=True)
class ReplayBatch:
    """What one batch compared."""

    mark: ReplayCheckpoint
    differences: Sequence[Difference]


def replay(mark: ReplayCheckpoint, *, player_id: UUID | None = None, batch: int = BATCH) -> Iterator[ReplayBatch]:
    """Fold all events past a mark, of one player or of all, and compare. The last mark is that of the end.

    A player's quest is compared in one snapshot of the database, so that a service which goes on meanwhile makes no
    difference. One that has more events than a batch is folded piece by piece.
    """
    open_key, open_state, version, waiting = BEFORE_FIRST, QuestState(), 0, 0
    while True:
        start = (*open_key, version) if open_key > mark.after else (*mark.after, 2**31 - 1)
        with db.transaction() as conn:
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            rows = _events(conn, start, player_id, batch)
            is_last = len(rows) < batch
            folded: dict[PlayerQuestKey, QuestState] = {open_key: open_state} if open_key > mark.after else {}
            for key, group in groupby(rows, key=itemgetter(0, 1)):
                events = (QuestEvent(type_, at, data) for *_, type_, at, data in group)
                folded[key] = fold(events, folded.get(key))
            waiting += len(rows)
            if not is_last:
                open_key = (rows[-1][0], rows[-1][1])
                open_state, version = folded.pop(open_key), rows[-1][2]
            upto = None if is_last else max(folded, default=None)
            stored = _states(conn, mark.after, upto, player_id) if is_last or upto else {}
        if folded or is_last:
            counted = waiting - (0 if is_last else version)
            waiting -= counted
            mark, differences = _compare(mark, folded, stored, counted)
            yield ReplayBatch(mark, differences)
        if is_last:
            return


def _compare(
    mark: ReplayCheckpoint,
    folded: dict[PlayerQuestKey, QuestState],
    stored: dict[PlayerQuestKey, QuestState],
    events: int,
) -> tuple[ReplayCheckpoint, list[Difference]]:
    keys = sorted(folded.keys() | stored.keys())
    found = [Difference(*key, stored.get(key), folded.get(key)) for key in keys if stored.get(key) != folded.get(key)]
    after = replace(
        mark,
        after=keys[-1] if keys else mark.after,
        events=mark.events + events,
        states=mark.states + len(folded),
        differences=mark.differences + len(found),
        folded_digest=_chain_digest(mark.folded_digest, folded),
        stored_digest=_chain_digest(mark.stored_digest, stored),
    )
    return after, found


def _chain_digest(digest: bytes, states: dict[PlayerQuestKey, QuestState]) -> bytes:
    """Over states one after the other: however they are cut into batches, the last digest is the same."""
    for player_id, quest in sorted(states):
        state = states[player_id, quest]
        told: dict[str, Any] = state_to_json(state) | {"version": state.version, "claims": state.claims}
        line = json.dumps([str(player_id), quest, told], sort_keys=True, default=str)
        digest = sha256(digest + line.encode()).digest()
    return digest


def _events(conn: Conn, after: tuple[UUID, str, int], player_id: UUID | None, limit: int) -> list[Any]:
    return conn.execute(
        f"""
        SELECT player_id, quest, version, type, at,
               CASE WHEN type IN ('quest_step', 'scans_retracted') THEN data - 'terms' - 'indexes' ELSE '{{}}' END
        FROM quest_events
        WHERE (player_id, quest, version) > (%b, %b, %b) {"AND player_id = %b" if player_id else "AND %b::uuid IS NULL"}
        ORDER BY player_id, quest, version LIMIT %b
        """,  # noqa: S608 - one of two constants
        (*after, player_id, limit),
    ).fetchall()


def _states(
    conn: Conn, after: PlayerQuestKey, upto: PlayerQuestKey | None, player_id: UUID | None
) -> dict[PlayerQuestKey, QuestState]:
    rows = conn.execute(
        f"""
        SELECT s.player_id, s.quest, {STATE} FROM quest_states s
        WHERE (player_id, quest) > (%s, %s) AND (player_id, quest) <= (%s, %s)
          AND (%s::uuid IS NULL OR player_id = %s)
        """,  # noqa: S608 - a constant
        (*after, *(upto or (UUID(int=2**128 - 1), "\U0010ffff")), player_id, player_id),
    ).fetchall()
    return {(owner, quest): read_row(state) for owner, quest, *state in rows}


def read_mark(conn: Conn, name: str) -> ReplayCheckpoint | None:
    """Where an earlier replay was interrupted."""
    row = conn.execute(
        "SELECT player_id, quest, events, states, differences, digests FROM quest_replay_checkpoints WHERE name = %s",
        (name,),
    ).fetchone()
    if row is None:
        return None
    player_id, quest, *counts, digests = row
    return ReplayCheckpoint((player_id, quest), *counts, *digests)


def write_mark(conn: Conn, name: str, mark: ReplayCheckpoint) -> None:
    """Remember how far a replay has come."""
    conn.execute(
        """
        INSERT INTO quest_replay_checkpoints (name, player_id, quest, events, states, differences, digests)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (name) DO UPDATE
        SET player_id = EXCLUDED.player_id, quest = EXCLUDED.quest, events = EXCLUDED.events, states = EXCLUDED.states,
            differences = EXCLUDED.differences, digests = EXCLUDED.digests, updated_at = now()
        """,
        (name, *mark.after, mark.events, mark.states, mark.differences, [mark.folded_digest, mark.stored_digest]),
    )


def drop_mark(conn: Conn, name: str) -> None:
    """The replay came to its end, or is to begin anew."""
    conn.execute("DELETE FROM quest_replay_checkpoints WHERE name = %s", (name,))
