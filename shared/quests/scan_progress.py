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
from shared.quests.retraction import retract_events
from shared.quests.rules import Quest, QuestAction, QuestEvent, QuestReward, QuestState, decide, fold, indexes_of
from shared.quests.store import Change, PlayerQuestKey

ATTEMPTS = 3


@dataclass(frozen=True)
class MatchedQuest:
    """A scan that a quest means, and the quest."""

    scan_id: UUID
    player_id: UUID
    scan_time: datetime
    code_id: UUID
    code: str
    code_tags: list[str]
    timezone: str
    name: str
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

    @property
    def key(self) -> PlayerQuestKey:
        return self.player_id, self.name

    @property
    def quest(self) -> Quest:
        reward = QuestReward(self.item, self.quantity) if self.item and self.quantity else None
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
        )

    @property
    def action(self) -> QuestAction:
        day = self.scan_time.astimezone(store.time_zone_or_utc(self.timezone)).date()
        places = indexes_of(self.code, self.code_tags, codes=self.codes, wanted_tags=self.tags) if self.in_order else ()
        return QuestAction(self.scan_time, day, self.scan_id, self.code_id, places)


SELECT_MATCHES = """
    SELECT s.id AS scan_id, s.player_id, s.scan_time, c.id AS code_id, c.code, c.tags AS code_tags, p.timezone, q.name,
           q.streak, q.duplication, q.auto_claim, r.item, r.quantity, q.daily, q.grace_days, q.codes, q.tags,
           q.in_order, q.within_seconds
    FROM unnest(%b::uuid[]) WITH ORDINALITY AS given (id, turn)
    JOIN player_scans s ON s.id = given.id AND s.status = 'success'
    JOIN qr_codes c ON c.id = s.qr_code_id
    JOIN quests q ON q.active AND q.org_id = c.org_id AND (c.code = ANY (q.codes) OR c.tags && q.tags)
    LEFT JOIN rewards r ON r.id = q.reward_id
    JOIN players p ON p.id = s.player_id
    WHERE NOT EXISTS (SELECT FROM quest_events e WHERE e.scan_id = s.id AND e.quest = q.name)
    ORDER BY given.turn, q.name
"""


def advance(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Advance every active quest that means these scans, which have just become a success, in order. Costs one look
    where no quest is active; doing it twice changes nothing."""
    if not scan_ids or not _is_any_active(conn):
        return
    with conn.cursor(row_factory=class_row(MatchedQuest)) as cursor:
        meant = cursor.execute(SELECT_MATCHES, (list(scan_ids),)).fetchall()
    now = datetime.now(UTC)
    _write(conn, {each.key for each in meant}, lambda states: _advance(meant, states, now))


def retract(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Retract successful scans that have just been annulled.

    Progress and streak become what they would have been without them. Rewards that are no longer earned are revoked.
    """
    keys = store.quests_with_scans(conn, scan_ids)
    now = datetime.now(UTC)

    def compensated(states: dict[PlayerQuestKey, QuestState]) -> Iterator[tuple[PlayerQuestKey, Sequence[QuestEvent]]]:
        for key, events in store.load_events(conn, states).items():
            yield key, retract_events(events, set(scan_ids), now)

    _write(conn, keys, compensated)


def _is_any_active(conn: Conn) -> bool:
    return bool(exactly_one(conn.execute("SELECT EXISTS (SELECT FROM quests WHERE active)"))[0])


def _advance(
    meant: Iterable[MatchedQuest], states: dict[PlayerQuestKey, QuestState], now: datetime
) -> Iterator[tuple[PlayerQuestKey, Sequence[QuestEvent]]]:
    """What each scan brings about, seeing what those before it did."""
    states = dict(states)
    for each in meant:
        if each.key in states:
            events = [replace(event, at=now) for event in decide(states[each.key], each.action, each.quest)]
            states[each.key] = fold(events, states[each.key])
            yield each.key, events


def _write(
    conn: Conn,
    keys: Iterable[PlayerQuestKey],
    decided: Callable[[dict[PlayerQuestKey, QuestState]], Iterable[tuple[PlayerQuestKey, Sequence[QuestEvent]]]],
) -> None:
    """Append what is decided on these states. Players are locked, so only a claim can come between, and only before the
    state is locked too, or when there was none: the second attempt sees it."""
    open_ = set(keys)
    for _ in range(ATTEMPTS):
        if not open_:
            return
        states = {key: QuestState() for key in open_} | store.lock_states(conn, open_)
        events: dict[PlayerQuestKey, list[QuestEvent]] = {key: [] for key in open_}
        for key, happened in decided(states):
            events[key] += happened
        changes = [
            Change(*key, states[key], fold(happened, states[key]), happened)
            for key, happened in sorted(events.items())
            if happened
        ]
        store.revoke_rewards(
            conn, changes
        )  # first, for some of it may be paid anew; their states are there, and locked
        written = store.append_events(conn, changes)
        open_ = {change.key for change in changes} - written
    if open_:
        raise RuntimeError(f"{len(open_)} quests were changed without the lock on their player")
