"""Quests that scans advance, in the transaction that settles, releases or annuls them.

Callers hold the locks of the scans' players, so no other transaction advances their quests by scans meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.quests import store
from shared.quests.days import time_zone_or_utc
from shared.quests.recount import actions_of, retracted_scans
from shared.quests.reordering import decide_late, is_late
from shared.quests.retraction import retract_events
from shared.quests.rules import Quest, QuestAction, QuestEvent, QuestReward, QuestState, decide, fold, indexes_of
from shared.quests.store import Change, PlayerQuestKey

ATTEMPTS = 3


@dataclass(frozen=True)
class MatchedQuest:
    """A scan, and a quest that it advances."""

    scan_id: UUID
    player_id: UUID
    scan_time: datetime
    code_id: UUID
    code_texts: list[str]
    code_tags: list[str]
    timezone: str
    name: str
    org_id: UUID
    streak: int
    duplication: int
    auto_claim: bool
    item: str | None
    quantity: int | None
    daily: bool
    grace_days: int
    codes: list[str]
    tags: list[str]
    in_order: bool
    within_seconds: int | None
    min_interval_seconds: int

    @property
    def key(self) -> PlayerQuestKey:
        return self.player_id, self.name

    @property
    def quest(self) -> Quest:
        reward = QuestReward(self.item, self.quantity, self.org_id) if self.item and self.quantity else None
        within = None if self.within_seconds is None else timedelta(seconds=self.within_seconds)
        return Quest(
            self.name,
            self.streak,
            self.duplication,
            self.auto_claim,
            reward,
            daily=self.daily,
            grace_days=self.grace_days,
            by_scans=True,
            in_order=self.in_order,
            within=within,
            min_interval=timedelta(seconds=self.min_interval_seconds) if self.min_interval_seconds else None,
        )

    @property
    def action(self) -> QuestAction:
        zone = time_zone_or_utc(self.timezone)
        indexes: tuple[int, ...] = ()
        if self.in_order:
            indexes = indexes_of(self.code_texts, self.code_tags, codes=self.codes, wanted_tags=self.tags)
        return QuestAction(self.scan_time, zone, self.scan_id, self.code_id, indexes)


# KEY SHARE, so that a quest is not deleted while this transaction writes its first progress. Other changes do not
# conflict with it. A deletion locks one quest and waits for nothing else, so the order of the locks is free.
SELECT_MATCHES = """
    SELECT s.id AS scan_id, s.player_id, s.scan_time, c.id AS code_id, named.code_texts, c.tags AS code_tags,
           p.timezone, q.name, q.org_id, q.streak, q.duplication, q.auto_claim, r.item, r.quantity, q.daily,
           q.grace_days, q.codes, q.tags, q.in_order, q.within_seconds, q.min_interval_seconds
    FROM unnest(%(scan_ids)b::uuid[]) WITH ORDINALITY AS scan_order (id, position)
    JOIN player_scans s ON s.id = scan_order.id AND s.status = 'success'
    JOIN qr_codes c ON c.id = s.qr_code_id
    CROSS JOIN LATERAL (SELECT array_agg(t.code) AS code_texts FROM code_texts t WHERE t.qr_code_id = c.id) named
    JOIN quests q ON q.active AND q.org_id = c.org_id AND (named.code_texts && q.codes OR c.tags && q.tags)
    LEFT JOIN rewards r ON r.id = q.reward_id
    JOIN players p ON p.id = s.player_id
    WHERE NOT EXISTS (SELECT FROM quest_events e WHERE e.scan_id = s.id AND e.quest = q.name)
    ORDER BY scan_order.position, q.name
    FOR KEY SHARE OF q
"""


def advance(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Advance the active quests of these scans, which have just become successful, in the order of their own time.

    A scan that is older than others, which have advanced its quest, counts as if it had arrived before them.
    Without an active quest it costs one short query. Doing it twice changes nothing.
    """
    if not scan_ids or not _is_any_active(conn):
        return
    with conn.cursor(row_factory=class_row(MatchedQuest)) as cursor:
        matches = cursor.execute(SELECT_MATCHES, {"scan_ids": list(scan_ids)}).fetchall()
    matches.sort(key=lambda match: match.action.order)
    now = datetime.now(UTC)
    _write(conn, {match.key for match in matches}, lambda states: _advance(conn, matches, states, now))


def retract(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Retract successful scans that have just been annulled.

    Progress and streak become what they would have been without them. Rewards that are no longer earned are revoked.
    """
    keys = store.quests_with_scans(conn, scan_ids)
    now = datetime.now(UTC)

    def decide_retractions(
        states: dict[PlayerQuestKey, QuestState],
    ) -> Iterator[tuple[PlayerQuestKey, Sequence[QuestEvent]]]:
        for key, events in store.load_events(conn, states).items():
            yield key, retract_events(events, set(scan_ids), now)

    _write(conn, keys, decide_retractions)


def _is_any_active(conn: Conn) -> bool:
    return bool(exactly_one(conn.execute("SELECT EXISTS (SELECT FROM quests WHERE active)"))[0])


def _advance(
    conn: Conn, matches: Sequence[MatchedQuest], states: dict[PlayerQuestKey, QuestState], now: datetime
) -> Iterator[tuple[PlayerQuestKey, Sequence[QuestEvent]]]:
    """Yield the events of each scan. A scan sees the effects of those before it."""
    current = dict(states)
    late = {match.key for match in matches if match.key in states and is_late(states[match.key], match.action)}
    stored = store.load_events(conn, late) if late else {}
    histories = {key: actions_of(events, retracted_scans(events)) for key, events in stored.items()}
    for match in matches:
        if match.key not in states:
            continue
        if is_late(states[match.key], match.action):
            decided = decide_late(current[match.key], histories[match.key], match.action, match.quest)
        else:
            decided = decide(current[match.key], match.action, match.quest)
        events = [replace(event, at=now) for event in decided]
        current[match.key] = fold(events, current[match.key])
        if match.key in late:
            histories[match.key] += actions_of(events)
        yield match.key, events


def _write(
    conn: Conn,
    keys: Iterable[PlayerQuestKey],
    decide_events: Callable[[dict[PlayerQuestKey, QuestState]], Iterable[tuple[PlayerQuestKey, Sequence[QuestEvent]]]],
) -> None:
    """Append the events that `decide_events` returns for the states of these keys."""
    # The players are locked, so only a claim can change a state meanwhile: before the state is locked, or while it does
    # not exist yet. The second attempt sees it.
    open_ = set(keys)
    for _ in range(ATTEMPTS):
        if not open_:
            return
        states = {key: QuestState() for key in open_} | store.lock_states(conn, open_)
        events: dict[PlayerQuestKey, list[QuestEvent]] = {key: [] for key in open_}
        for key, new_events in decide_events(states):
            events[key] += new_events
        changes = [
            Change(*key, states[key], fold(new_events, states[key]), new_events)
            for key, new_events in sorted(events.items())
            if new_events
        ]
        # Before the append, because it may claim the same completion again. These states exist and are locked.
        store.revoke_rewards(conn, changes)
        written = store.append_events(conn, changes)
        open_ = {change.key for change in changes} - written
    if open_:
        raise RuntimeError(f"{len(open_)} quests were changed without the lock on their player")
