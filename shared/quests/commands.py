"""Executes commands: reads states, applies the rules, appends events. Retries what a concurrent update prevented."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from shared.errors import Conflict, DomainError, NotFound, Unavailable
from shared.infra import db
from shared.infra.db import Conn
from shared.quests import store
from shared.quests.group_commit import GroupCommit
from shared.quests.rules import ClaimReward, Quest, QuestAction, QuestEvent, decide, fold
from shared.quests.store import Change, PlayerQuest, PlayerQuestKey

ATTEMPTS = 5
MAX_BATCH = 200


class TooManyConcurrentUpdates(Unavailable):
    """Too much happens at once on this quest of yours; try again shortly."""


class QuestAdvancedByScans(Conflict):
    """This quest is advanced by scans."""


@dataclass(frozen=True)
class QuestCommand:
    """What one player asks for on one quest: to have an action tracked, or a completion paid."""

    player_id: UUID
    quest: Quest
    is_claim: bool

    @property
    def key(self) -> PlayerQuestKey:
        return self.player_id, self.quest.name


CommandResult = Sequence[QuestEvent] | Exception
"""The events of a command, or the error that refused it."""


def execute(conn: Conn, asked: Sequence[QuestCommand], now: datetime) -> list[CommandResult]:
    """Execute the commands with two statements in all. Return their results in order.

    Errors are returned, not raised, so one player's error does not affect the others. The first attempt takes no locks.
    Commands that a concurrent update prevented are retried behind a lock.
    """
    outcomes: dict[int, CommandResult] = {}
    for attempt in range(ATTEMPTS):
        open_ = {number: request for number, request in enumerate(asked) if number not in outcomes}
        if not open_:
            break
        if attempt == 0:
            outcomes |= _attempt(conn, open_, now)
        else:
            with conn.transaction():
                store.lock_states(conn, (request.key for request in open_.values()))
                outcomes |= _attempt(conn, open_, now)
    return [outcomes.get(number, TooManyConcurrentUpdates()) for number in range(len(asked))]


def _attempt(conn: Conn, asked: dict[int, QuestCommand], now: datetime) -> dict[int, CommandResult]:
    standings = store.load_player_quests(conn, (request.key for request in asked.values()))
    decided, changes = _decide(asked, standings, now)
    unwritten = {change.key for change in changes} - store.append_events(conn, changes)
    return {number: outcome for number, outcome in decided.items() if asked[number].key not in unwritten}


def events_or_raise(outcome: CommandResult) -> Sequence[QuestEvent]:
    """Return the events of a result, or raise its error."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def execute_batch(asked: Sequence[QuestCommand]) -> list[CommandResult]:
    """What requests that came at the same moment asked for, on a connection of their own. Where one of them makes the
    statement fail, each is tried by itself."""
    try:
        with db.connection() as conn:
            return execute(conn, asked, datetime.now(UTC))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        if len(asked) == 1:
            return [error]
    return [outcome for request in asked for outcome in execute_batch([request])]


group_commit: GroupCommit[QuestCommand, CommandResult] = GroupCommit(execute_batch, limit=MAX_BATCH)
"""Requests of this process, gathered while the ones before them are committed."""


def _decide(
    asked: dict[int, QuestCommand], standings: dict[PlayerQuestKey, PlayerQuest], now: datetime
) -> tuple[dict[int, CommandResult], list[Change]]:
    """Outcomes, and the changes that they make together: a player's second request sees what the first one did."""
    outcomes: dict[int, CommandResult] = {}
    changes: dict[PlayerQuestKey, Change] = {}
    for number, request in asked.items():
        standing = standings.get(request.key)
        if standing is None:
            outcomes[number] = NotFound()
            continue
        if standing.by_scans and not request.is_claim:
            outcomes[number] = QuestAdvancedByScans()
            continue
        change = changes.get(request.key)
        state = change.after if change else standing.state
        quest = request.quest
        if standing.daily:
            quest = replace(quest, daily=True, grace_days=standing.grace_days)
        command = ClaimReward(now) if request.is_claim else QuestAction(now, now.astimezone(standing.zone).date())
        try:
            events = decide(state, command, quest)
        except DomainError as refusal:
            outcomes[number] = refusal
            continue
        outcomes[number] = events
        before, earlier = (change.before, change.events) if change else (standing.state, ())
        changes[request.key] = Change(*request.key, before, fold(events, state), (*earlier, *events))
    return outcomes, list(changes.values())
