"""Replays quest events: computes states from events alone, and compares them with the stored states.

It reads in batches, so its memory does not grow with the number of events.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from shared.infra import db
from shared.infra.db import Conn
from shared.quests.rules import QuestEvent, QuestState, fold, state_to_json
from shared.quests.store import PlayerQuestKey, read_row

BATCH = 20_000
"""Events."""
BEFORE_FIRST: PlayerQuestKey = (UUID(int=0), "")
AFTER_LAST: PlayerQuestKey = (UUID(int=2**128 - 1), "\U0010ffff")


@dataclass(frozen=True)
class Difference:
    """A stored state that differs from the fold of its events. None if there is no state, or there are no events."""

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
    """The progress of a replay: the last player and quest compared, and the results up to there.

    The digests are chained over all folded and all stored states.
    """

    after: PlayerQuestKey = BEFORE_FIRST
    events: int = 0
    states: int = 0
    differences: int = 0
    folded_digest: bytes = b""
    stored_digest: bytes = b""


@dataclass(frozen=True)
class ReplayBatch:
    """The differences in one batch, and the checkpoint after it."""

    checkpoint: ReplayCheckpoint
    differences: Sequence[Difference]


def replay(
    checkpoint: ReplayCheckpoint,
    *,
    player_id: UUID | None = None,
    batch: int = BATCH,
    transaction: Callable[[], AbstractContextManager[Conn]] = db.transaction,
) -> Iterator[ReplayBatch]:
    """Fold all events after a checkpoint, of one player or of all, and compare. Yield each batch.

    A player's quest is compared in one snapshot of the database, so the service may run meanwhile. A quest with more
    events than a batch is folded over several batches.
    """
    open_key, open_state, version, waiting = BEFORE_FIRST, QuestState(), 0, 0
    while True:
        start = (*open_key, version) if open_key > checkpoint.after else (*checkpoint.after, 2**31 - 1)
        with transaction() as conn:
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            rows = _events(conn, start, player_id, batch)
            is_last = len(rows) < batch
            folded: dict[PlayerQuestKey, QuestState] = {open_key: open_state} if open_key > checkpoint.after else {}
            for key, group in groupby(rows, key=itemgetter(0, 1)):
                events = (QuestEvent(type_, at, data) for *_, type_, at, data in group)
                folded[key] = fold(events, folded.get(key))
            waiting += len(rows)
            if not is_last:
                open_key = (rows[-1][0], rows[-1][1])
                open_state, version = folded.pop(open_key), rows[-1][2]
            up_to = None if is_last else max(folded, default=None)
            stored = _states(conn, checkpoint.after, up_to, player_id) if is_last or up_to else {}
        if folded or is_last:
            counted = waiting - (0 if is_last else version)
            waiting -= counted
            checkpoint, differences = _compare(checkpoint, folded, stored, counted)
            yield ReplayBatch(checkpoint, differences)
        if is_last:
            return


def _compare(
    checkpoint: ReplayCheckpoint,
    folded: dict[PlayerQuestKey, QuestState],
    stored: dict[PlayerQuestKey, QuestState],
    events: int,
) -> tuple[ReplayCheckpoint, list[Difference]]:
    keys = sorted(folded.keys() | stored.keys())
    found = [Difference(*key, stored.get(key), folded.get(key)) for key in keys if stored.get(key) != folded.get(key)]
    after = replace(
        checkpoint,
        after=keys[-1] if keys else checkpoint.after,
        events=checkpoint.events + events,
        states=checkpoint.states + len(folded),
        differences=checkpoint.differences + len(found),
        folded_digest=_chain_digest(checkpoint.folded_digest, folded),
        stored_digest=_chain_digest(checkpoint.stored_digest, stored),
    )
    return after, found


def _chain_digest(digest: bytes, states: dict[PlayerQuestKey, QuestState]) -> bytes:
    """Return the digest after these states. The last digest does not depend on the size of the batches."""
    for player_id, quest in sorted(states):
        state = states[player_id, quest]
        content: dict[str, Any] = state_to_json(state) | {"version": state.version, "claims": state.claims}
        line = json.dumps([str(player_id), quest, content], sort_keys=True, default=str)
        digest = sha256(digest + line.encode()).digest()
    return digest


def _events(conn: Conn, after: tuple[UUID, str, int], player_id: UUID | None, limit: int) -> list[Any]:
    after_player, after_quest, after_version = after
    params = {
        "after_player": after_player,
        "after_quest": after_quest,
        "after_version": after_version,
        "player_id": player_id,
        "limit": limit,
    }
    # All other events change a state by their type alone. Two statements: each reads one range of the primary key.
    if player_id is None:
        return conn.execute(
            """
            SELECT player_id, quest, version, type, at,
                   CASE WHEN type IN ('quest_step', 'action_ignored', 'scans_reordered', 'scans_retracted')
                    THEN data - 'terms' - 'indexes' ELSE '{}' END
            FROM quest_events
            WHERE (player_id, quest, version) > (%(after_player)b, %(after_quest)b, %(after_version)b)
            ORDER BY player_id, quest, version LIMIT %(limit)b
            """,
            params,
        ).fetchall()
    return conn.execute(
        """
        SELECT player_id, quest, version, type, at,
               CASE WHEN type IN ('quest_step', 'action_ignored', 'scans_reordered', 'scans_retracted')
                    THEN data - 'terms' - 'indexes' ELSE '{}' END
        FROM quest_events
        WHERE (player_id, quest, version) > (%(after_player)b, %(after_quest)b, %(after_version)b)
          AND player_id = %(player_id)b
        ORDER BY player_id, quest, version LIMIT %(limit)b
        """,
        params,
    ).fetchall()


def _states(
    conn: Conn, after: PlayerQuestKey, up_to: PlayerQuestKey | None, player_id: UUID | None
) -> dict[PlayerQuestKey, QuestState]:
    after_player, after_quest = after
    last_player, last_quest = up_to or AFTER_LAST
    rows = conn.execute(
        """
        SELECT player_id, quest, version, progress, completions, claims, steps, last_step_at, last_action_at, last_zone
        FROM quest_states
        WHERE (player_id, quest) > (%(after_player)s, %(after_quest)s)
          AND (player_id, quest) <= (%(last_player)s, %(last_quest)s)
          AND (%(player_id)s::uuid IS NULL OR player_id = %(player_id)s)
        """,
        {
            "after_player": after_player,
            "after_quest": after_quest,
            "last_player": last_player,
            "last_quest": last_quest,
            "player_id": player_id,
        },
    ).fetchall()
    return {(owner, quest): read_row(state) for owner, quest, *state in rows}


def load_checkpoint(conn: Conn, name: str) -> ReplayCheckpoint | None:
    """Return the checkpoint at which an earlier replay was interrupted, or None."""
    row = conn.execute(
        """
        SELECT player_id, quest, events, states, differences, digests FROM quest_replay_checkpoints
        WHERE name = %(name)s
        """,
        {"name": name},
    ).fetchone()
    if row is None:
        return None
    player_id, quest, *counts, digests = row
    return ReplayCheckpoint((player_id, quest), *counts, *digests)


def save_checkpoint(conn: Conn, name: str, checkpoint: ReplayCheckpoint) -> None:
    """Store the checkpoint of a replay."""
    player_id, quest = checkpoint.after
    conn.execute(
        """
        INSERT INTO quest_replay_checkpoints (name, player_id, quest, events, states, differences, digests)
        VALUES (%(name)s, %(player_id)s, %(quest)s, %(events)s, %(states)s, %(differences)s, %(digests)s)
        ON CONFLICT (name) DO UPDATE
        SET player_id = EXCLUDED.player_id, quest = EXCLUDED.quest, events = EXCLUDED.events, states = EXCLUDED.states,
            differences = EXCLUDED.differences, digests = EXCLUDED.digests, updated_at = now()
        """,
        {
            "name": name,
            "player_id": player_id,
            "quest": quest,
            "events": checkpoint.events,
            "states": checkpoint.states,
            "differences": checkpoint.differences,
            "digests": [checkpoint.folded_digest, checkpoint.stored_digest],
        },
    )


def delete_checkpoint(conn: Conn, name: str) -> None:
    """Delete the checkpoint of a replay that ended, or that starts again."""
    conn.execute("DELETE FROM quest_replay_checkpoints WHERE name = %(name)s", {"name": name})
