"""Quests' events and states in PostgreSQL.

Events are appended at the version that the writer has read. Of two writers with the same version, the first to commit
wins, and the other reads again. One statement writes state, claims, ledger and live events, so none exists without the
others.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.rows import class_row

from shared import reward_metrics
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, uuid7
from shared.quests.days import time_zone_or_utc
from shared.quests.notifications import live_events
from shared.quests.rules import Quest, QuestEvent, QuestReward, QuestState, state_to_json, steps_from_json

PlayerQuestKey = tuple[UUID, str]
"""A player's id and the name of a quest."""


@dataclass(frozen=True)
class Change:
    """Events to append to one player's quest, and the states before and after them."""

    player_id: UUID
    quest: str
    before: QuestState
    after: QuestState
    events: Sequence[QuestEvent]

    @property
    def key(self) -> PlayerQuestKey:
        return self.player_id, self.quest


@dataclass(frozen=True)
class PlayerQuest:
    """A player's state of a quest, their time zone, and the quest's options that the catalog does not publish."""

    state: QuestState
    zone: ZoneInfo
    daily: bool = False
    grace_days: int = 0
    by_scans: bool = False
    org_id: UUID | None = None
    min_interval: timedelta | None = None
    is_closed: bool = False
    """True if the organization is closed: then its quest pays nothing."""
    own: Quest | None = None
    """The quest in PostgreSQL now, if scans advance it. A catalog may have served an older definition."""


@dataclass(frozen=True)
class StoredEvent:
    """An event as it was appended."""

    id: UUID
    quest: str
    version: int
    type: str
    data: dict[str, Any]
    scan_id: UUID | None
    at: datetime


def load_player_quests(conn: Conn, keys: Iterable[PlayerQuestKey]) -> dict[PlayerQuestKey, PlayerQuest]:
    """Return each player's state of each quest. Players who do not exist or are erased are left out."""
    rows = conn.execute(
        """
        SELECT p.id, keys.quest, p.timezone, coalesce(q.daily, false), coalesce(q.grace_days, 0),
               coalesce(q.by_scans, false), q.org_id, make_interval(secs => nullif(q.min_interval_seconds, 0)),
               coalesce(o.closed_at <= now(), false), q.streak, q.duplication, q.auto_claim, r.item, r.quantity,
               coalesce(s.version, 0), coalesce(s.progress, 0), coalesce(s.completions, 0), coalesce(s.claims, 0),
               s.steps, s.last_step_at, s.last_action_at, s.last_zone
        FROM unnest(%(player_ids)b::uuid[], %(quests)b::text[]) AS keys (player_id, quest)
        JOIN players p ON p.id = keys.player_id AND p.erased_at IS NULL
        LEFT JOIN quests q ON q.name = keys.quest
        LEFT JOIN rewards r ON r.id = q.reward_id
        LEFT JOIN organizations o ON o.id = q.org_id
        LEFT JOIN LATERAL (
            SELECT * FROM quest_states s WHERE s.player_id = keys.player_id AND s.quest = keys.quest LIMIT 1
        ) s ON true
        """,
        _key_params(keys),
    ).fetchall()
    return {(player_id, quest): _read_player_quest(quest, *row) for player_id, quest, *row in rows}


def _read_player_quest(
    name: str,
    timezone: str,
    daily: bool,
    grace_days: int,
    by_scans: bool,
    org_id: UUID | None,
    min_interval: timedelta | None,
    is_closed: bool,
    streak: int,
    duplication: int,
    auto_claim: bool,
    item: str | None,
    quantity: int | None,
    *state: Any,
) -> PlayerQuest:
    reward = QuestReward(item, quantity, org_id) if item and quantity else None
    return PlayerQuest(
        read_row(state),
        time_zone_or_utc(timezone),
        daily,
        grace_days,
        by_scans,
        org_id,
        min_interval,
        is_closed,
        own=Quest(name, streak, duplication, auto_claim, reward, by_scans=True) if by_scans else None,
    )


def load_states(conn: Conn, player_id: UUID) -> dict[str, QuestState]:
    """Return the player's states, by quest."""
    rows = conn.execute(
        """
        SELECT quest, version, progress, completions, claims, steps, last_step_at, last_action_at, last_zone
        FROM quest_states
        WHERE player_id = %(player_id)s
        """,
        {"player_id": player_id},
    )
    return {quest: read_row(state) for quest, *state in rows}


def lock_states(conn: Conn, keys: Iterable[PlayerQuestKey]) -> dict[PlayerQuestKey, QuestState]:
    """Lock the existing states until the transaction ends, and return them."""
    # In the order of keys, so two writers never wait for each other. LATERAL keeps the order and reads by index.
    rows = conn.execute(
        """
        SELECT s.player_id, s.quest, s.version, s.progress, s.completions, s.claims, s.steps, s.last_step_at,
               s.last_action_at, s.last_zone
        FROM (
            SELECT * FROM unnest(%(player_ids)b::uuid[], %(quests)b::text[]) AS keys (player_id, quest)
            ORDER BY player_id, quest
        ) keys
        CROSS JOIN LATERAL (
            SELECT * FROM quest_states s WHERE s.player_id = keys.player_id AND s.quest = keys.quest FOR NO KEY UPDATE
        ) s
        """,
        _key_params(keys),
    ).fetchall()
    return {(player_id, quest): read_row(state) for player_id, quest, *state in rows}


# A state is written only if its version is still the one that was read: `s.version = c.before`. States are locked in
# the order of keys, so two writers never wait for each other. LATERAL keeps the order and reads by index.
APPEND = """
    WITH changes AS (
        SELECT * FROM jsonb_to_recordset(%(changes)s::jsonb) AS c (
            player_id uuid, quest text, before int, version int, progress int, completions int, claims int, steps jsonb,
            last_step_at timestamptz, last_action_at timestamptz, last_zone text)
    ), new_events AS (
        SELECT * FROM jsonb_to_recordset(%(events)s::jsonb) AS e (
            player_id uuid, quest text, version int, id uuid, type text, data jsonb, scan_id uuid, at timestamptz)
    ), inserted_states AS (
        INSERT INTO quest_states (player_id, quest, version, progress, completions, claims, steps, last_step_at,
                                  last_action_at, last_zone)
        SELECT player_id, quest, version, progress, completions, claims, steps, last_step_at, last_action_at, last_zone
        FROM changes WHERE before = 0 ORDER BY player_id, quest
        ON CONFLICT DO NOTHING
        RETURNING player_id, quest
    ), locked_states AS (
        SELECT c.* FROM (SELECT * FROM changes WHERE before > 0 ORDER BY player_id, quest) c
        CROSS JOIN LATERAL (
            SELECT FROM quest_states s
            WHERE s.player_id = c.player_id AND s.quest = c.quest AND s.version = c.before
            FOR NO KEY UPDATE
        ) s
    ), updated_states AS (
        UPDATE quest_states s SET version = l.version, progress = l.progress, completions = l.completions,
                                  claims = l.claims, steps = l.steps, last_step_at = l.last_step_at,
                                  last_action_at = l.last_action_at, last_zone = l.last_zone
        FROM locked_states l WHERE s.player_id = l.player_id AND s.quest = l.quest
        RETURNING s.player_id, s.quest
    ), saved_states AS (
        SELECT * FROM inserted_states UNION ALL SELECT * FROM updated_states
    ), inserted_events AS (
        INSERT INTO quest_events (player_id, quest, version, id, type, data, scan_id, at)
        SELECT e.* FROM new_events e JOIN saved_states USING (player_id, quest)
        RETURNING player_id, quest, id, type, data, at
    ), inserted_claims AS (
        INSERT INTO quest_claims (id, player_id, quest, completion, org_id, item, quantity, at)
        SELECT id, player_id, quest, (data ->> 'completion')::int, (data ->> 'org_id')::uuid, data ->> 'item',
               (data ->> 'quantity')::int, at
        FROM inserted_events WHERE type = 'reward_claimed'
        RETURNING id, player_id, org_id, item, quantity
    ), ledger_entries AS (
        INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        SELECT player_id, org_id, item, quantity, 'quest', id FROM inserted_claims
    ), live_events AS (
        INSERT INTO events (type, player_id, data)
        SELECT type, player_id, data FROM jsonb_to_recordset(%(live_events)s::jsonb) AS e (
            player_id uuid, quest text, turn int, type text, data jsonb)
        JOIN saved_states USING (player_id, quest)
        ORDER BY player_id, quest, turn
    )
    SELECT player_id, quest FROM saved_states
"""


def append_events(conn: Conn, changes: Sequence[Change]) -> set[PlayerQuestKey]:
    """Write the changes in one statement. Return the keys that were written; the other states have changed since they
    were read."""
    if not changes:
        return set()
    documents = {
        "changes": json.dumps([_change_row(change) for change in changes]),
        "events": json.dumps([row for change in changes for row in _event_rows(change)]),
        "live_events": json.dumps([row for change in changes for row in _live_event_rows(change)]),
    }
    written = {(player_id, quest) for player_id, quest in conn.execute(APPEND, documents)}
    events = (event for change in changes if change.key in written for event in change.events)
    reward_metrics.record(conn, "quest", sum(event.type == "reward_claimed" for event in events))
    return written


def revoke_rewards(conn: Conn, changes: Iterable[Change]) -> None:
    """Revoke the claims of these changes that are no longer earned. The caller appends the changes and commits."""
    revoked = [
        {
            "player_id": change.player_id,
            "quest": change.quest,
            "completion": event.data["completion"],
            "at": event.at,
        }
        for change in changes
        for event in change.events
        if event.type == "reward_revoked"
    ]
    if revoked:
        conn.cursor().executemany(
            """
            WITH revoked_claims AS (
                UPDATE quest_claims SET revoked_at = %(at)s
                WHERE player_id = %(player_id)s AND quest = %(quest)s AND completion = %(completion)s
                  AND revoked_at IS NULL
                RETURNING id, player_id, org_id, item, quantity
            )
            INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
            SELECT player_id, org_id, item, -quantity, 'annulment', id FROM revoked_claims
            """,
            revoked,
        )


def list_events(conn: Conn, player_id: UUID, *, limit: int, before: UUID | None = None) -> list[StoredEvent]:
    """Return a player's events, newest first. With `before`, only older ones than that."""
    with conn.cursor(row_factory=class_row(StoredEvent)) as cursor:
        return cursor.execute(
            """
            SELECT id, quest, version, type, data, scan_id, at FROM quest_events
            WHERE player_id = %(player_id)s AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s
            """,
            {"player_id": player_id, "before": before or HIGHEST, "limit": limit},
        ).fetchall()


def load_events(conn: Conn, keys: Iterable[PlayerQuestKey]) -> dict[PlayerQuestKey, list[QuestEvent]]:
    """Return all events of these players' quests, in order."""
    events: dict[PlayerQuestKey, list[QuestEvent]] = {}
    rows = conn.execute(
        """
        SELECT player_id, quest, type, at, data, scan_id
        FROM unnest(%(player_ids)b::uuid[], %(quests)b::text[]) AS keys (player_id, quest)
        JOIN quest_events USING (player_id, quest)
        ORDER BY player_id, quest, version
        """,
        _key_params(keys),
    )
    for player_id, quest, *event in rows:
        events.setdefault((player_id, quest), []).append(QuestEvent(*event))
    return events


def quests_with_scans(conn: Conn, scan_ids: Sequence[UUID]) -> list[PlayerQuestKey]:
    """Return the players' quests that these scans advanced, in order."""
    return conn.execute(
        "SELECT DISTINCT player_id, quest FROM quest_events WHERE scan_id = ANY(%(scan_ids)b) ORDER BY 1, 2",
        {"scan_ids": list(scan_ids)},
    ).fetchall()


def read_row(row: Sequence[Any]) -> QuestState:
    """Return a state from the columns version, progress, completions, claims, steps, last_step_at, last_action_at,
    last_zone."""
    version, progress, completions, claims, steps, *last = row
    read = steps_from_json(steps) if steps else ()
    return QuestState(version, progress, completions, claims, read, *last)


def _key_params(keys: Iterable[PlayerQuestKey]) -> dict[str, list[Any]]:
    unique = list(dict.fromkeys(keys))
    return {"player_ids": [player_id for player_id, _ in unique], "quests": [quest for _, quest in unique]}


def _change_row(change: Change) -> dict[str, Any]:
    return {
        "player_id": str(change.player_id),
        "quest": change.quest,
        "before": change.before.version,
        "version": change.after.version,
        "claims": change.after.claims,
        **state_to_json(change.after),
    }


def _event_rows(change: Change) -> Iterable[dict[str, Any]]:
    for version, event in enumerate(change.events, change.before.version + 1):
        yield {
            "player_id": str(change.player_id),
            "quest": change.quest,
            "version": version,
            "id": str(uuid7()),
            "type": event.type,
            "data": event.data,
            "scan_id": event.scan_id and str(event.scan_id),
            "at": event.at.isoformat(),
        }


def _live_event_rows(change: Change) -> Iterable[dict[str, Any]]:
    for turn, (type_, data) in enumerate(live_events(change.quest, change.before, change.events)):
        yield {"player_id": str(change.player_id), "quest": change.quest, "turn": turn, "type": type_, "data": data}
